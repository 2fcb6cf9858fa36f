"""Protostructures: all of a crystal except its continuous numbers.

Labels are those of pymatgen and aviary, `A3BC_cP5_221_c_a_b:O-Sr-Ti`: anonymous formula, Pearson symbol, space group,
Wyckoff letters with counts of each element in the order of the symbols. A crystal has several assignments of letters,
one for each choice of origin and axes (`images`); its label holds that of the smallest (score, text), where the score
is the sum of places in the alphabet, counts not weighed. Goodall et al. 2022 (doi 10.1126/sciadv.abn4117).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from math import gcd

from genkit.errors import DataError
from genkit_crystals.protostructures.elements import numbers, symbols
from genkit_crystals.protostructures.wyckoff import ELEMENTS, GROUPS, LETTERS, pearson, tables

LABEL = re.compile(r"([A-Z0-9]+)_([a-z][A-Z])(\d+)_(\d+)_([a-zA0-9_]+):([A-Za-z]+(?:-[A-Za-z]+)*)")
TOKEN = re.compile(r"(\d*)([a-zA])")
LATTICE = {"a": 6, "m": 4, "o": 3, "t": 2, "h": 2, "c": 1}  # free parameters of a cell by crystal family


@dataclass(frozen=True, order=True)
class Protostructure:
    """A space group and the orbits of atoms on its Wyckoff positions, in one of the equivalent assignments.

    Make it with `Protostructure.of`, which checks, or from a label.
    """

    group: int
    """Number of the space group, 1..230."""
    orbits: tuple[tuple[int, int, int], ...]
    """(row, atomic number, count), sorted; row 0 is the letter a."""

    @classmethod
    def of(cls, group: int, orbits: Iterable[tuple[int, int, int]]) -> "Protostructure":
        """Add up and check orbits; raises DataError for what no crystal can be."""
        if not 1 <= group <= GROUPS:
            raise DataError(f"space group {group}; expected 1 to {GROUPS}")
        total: dict[tuple[int, int], int] = defaultdict(int)
        for row, z, count in orbits:
            if not 0 <= row < tables().rows[group]:
                known = f"a to {LETTERS[tables().rows[group] - 1]}"
                raise DataError(f"space group {group} has no Wyckoff letter {LETTERS[row]!r}; it has {known}")
            if not 1 <= z <= ELEMENTS:
                raise DataError(f"atomic number {z}; elements 1 to {ELEMENTS} are represented")
            if count < 1:
                raise DataError(f"{count} orbits on letter {LETTERS[row]!r}; expected at least 1")
            total[row, z] += count
        if not total:
            raise DataError("no atoms")
        crowd: dict[int, int] = defaultdict(int)
        for (row, _), count in total.items():
            crowd[row] += count
            if tables().dof[group, row] == 0 and crowd[row] > 1:
                raise DataError(
                    f"{crowd[row]} orbits on letter {LETTERS[row]!r} of group {group}, a point without freedom; "
                    f"at most one fits"
                )
        return cls(group, tuple((row, z, count) for (row, z), count in sorted(total.items())))

    @classmethod
    def from_label(cls, label: str) -> "Protostructure":
        """Read a label, canonical or not; raises DataError that says what is wrong with it."""
        match = LABEL.fullmatch(label.strip())
        if match is None:
            shown = label.strip()[:80] or "an empty text"
            raise DataError(f"no protostructure label: {shown!r}; expected one such as AB_cF8_225_a_b:Cl-Na")
        formula, _, atoms, number, letters, system = match.groups()
        elements, parts = system.split("-"), letters.split("_")
        if len(elements) != len(parts):
            raise DataError(f"label {label!r} has {len(parts)} lists of letters for {len(elements)} elements")
        orbits = []
        for element, part in zip(elements, parts, strict=True):
            if element not in numbers():
                raise DataError(f"label {label!r}: no element is called {element!r}")
            if not re.fullmatch(f"(?:{TOKEN.pattern})+", part):
                raise DataError(f"label {label!r}: {part!r} is no list of Wyckoff letters, such as 2a3bc")
            orbits += [(LETTERS.index(c), numbers()[element], int(n or 1)) for n, c in TOKEN.findall(part)]
        found = cls.of(int(number), orbits)
        if found.atoms != int(atoms) or found.formula != formula:
            raise DataError(
                f"label {label!r}: its letters make {found.formula} with {found.atoms} atoms in the conventional cell"
            )
        return found

    # what can be counted

    @cached_property
    def composition(self) -> dict[int, int]:
        """Atoms in the conventional cell by atomic number, in the order of the symbols."""
        amounts: dict[int, int] = defaultdict(int)
        for row, z, count in self.orbits:
            amounts[z] += int(tables().multiplicity[self.group, row]) * count
        return {z: amounts[z] for z in sorted(amounts, key=lambda z: symbols()[z])}

    @property
    def atoms(self) -> int:
        """Atoms in the conventional cell."""
        return sum(self.composition.values())

    @property
    def freedom(self) -> int:
        """Numbers left to choose: free coordinates and parameters of the cell."""
        inner = sum(int(tables().dof[self.group, row]) * count for row, _, count in self.orbits)
        return inner + LATTICE[pearson(self.group)[0]]

    @property
    def formula(self) -> str:
        """Anonymous formula with letters in the order of the symbols, A3BC."""
        return _formula(self.composition.values())

    @property
    def chemical_formula(self) -> str:
        """Reduced formula with the elements in the order of the symbols, O3SrTi."""
        return _formula(self.composition.values(), [symbols()[z] for z in self.composition])

    # equivalent assignments

    def images(self) -> list["Protostructure"]:
        """All distinct assignments of letters that are this crystal, sorted."""
        return sorted({self._moved(p) for p in tables().relabellings[self.group]})

    @cached_property
    def canonical(self) -> "Protostructure":
        """The assignment whose letters the label shows."""
        moved = (self._moved(p) for p in tables().relabellings[self.group])
        return min(moved, key=lambda one: (one._score(), "_".join(one._parts().values())))

    @cached_property
    def label(self) -> str:
        """The canonical label, the same for all assignments of one crystal."""
        parts = "_".join(self.canonical._parts().values())
        system = "-".join(symbols()[z] for z in self.composition)
        return f"{self.formula}_{pearson(self.group)}{self.atoms}_{self.group}_{parts}:{system}"

    @cached_property
    def prototype(self) -> str:
        """The label without the elements, which are sorted by amount."""
        amounts = sorted(self.composition.values())
        best = min(self._moved(p)._anonymous() for p in tables().relabellings[self.group])
        return f"{_formula(amounts)}_{pearson(self.group)}{self.atoms}_{self.group}_{best[1]}"

    def with_elements(self, elements: dict[int, int]) -> "Protostructure":
        """This crystal with other elements, old atomic number -> new."""
        return Protostructure.of(self.group, ((row, elements[z], count) for row, z, count in self.orbits))

    def _moved(self, p) -> "Protostructure":
        return Protostructure(self.group, tuple(sorted((int(p[row]), z, count) for row, z, count in self.orbits)))

    def _parts(self) -> dict[int, str]:
        """Letters with counts by element, A before a, as in the labels of pymatgen."""
        parts: dict[int, list[str]] = {z: [] for z in self.composition}
        for row, z, count in sorted(self.orbits, key=lambda orbit: LETTERS[orbit[0]]):
            parts[z].append((str(count) if count > 1 else "") + LETTERS[row])
        return {z: "".join(tokens) for z, tokens in parts.items()}

    def _score(self) -> int:
        return sum(0 if LETTERS[row] == "A" else row + 1 for row, _, _ in self.orbits)

    def _anonymous(self) -> tuple[int, str]:
        """Rank with the elements sorted by amount; of equal amounts the order is that of the smallest text."""
        parts = sorted((self.composition[z], part + "_") for z, part in self._parts().items())
        return self._score(), "".join(part for _, part in parts)[:-1]


def _formula(amounts: Iterable[int], names: Iterable[str] | None = None) -> str:
    amounts = list(amounts)
    common = reduce(gcd, amounts)
    names = (_letter(i) for i in range(len(amounts))) if names is None else names
    return "".join(n + (str(a // common) if a > common else "") for n, a in zip(names, amounts, strict=True))


def _letter(i: int) -> str:
    """A to Z, then AA, AB, ..."""
    return chr(65 + i) if i < 26 else _letter(i // 26 - 1) + chr(65 + i % 26)
