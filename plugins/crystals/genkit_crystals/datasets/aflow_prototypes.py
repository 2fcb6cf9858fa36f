"""Prototypes of the AFLOW encyclopaedia, which pymatgen brings along, decorated with other elements."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Self

from genkit.errors import UsageError
from genkit_crystals.data import Crystals
from genkit_crystals.protostructures import Protostructure, read_labels

LABELS = Path(__file__).parent / "aflow_labels.csv"
HEAVIEST = 94
LANTHANIDES, ACTINIDES = range(57, 72), range(89, 95)
NOBLE = {2, 10, 18, 36, 54, 86}


@dataclass(frozen=True)
class AflowPrototypes:
    """288 real structures (Mehl et al. 2017, doi 10.1016/j.commatsci.2017.01.017), decorated by substitution.

    Each element gives way to every one of its column of the periodic table (lanthanides and actinides are families of
    their own, noble gases are left out, Z <= 94), no element twice: 8,655 distinct protostructures of prototypes with
    up to three elements, 8,604 of them with few orbits. Substitution ignores energies, so these are plausible crystals,
    not stable ones.
    """

    species: int = 3
    """Largest number of elements."""
    rows: int = 27
    """Largest number of Wyckoff positions of the space group."""
    orbits: int = 4
    """Largest number of orbits of one element on one Wyckoff position; 51 crystals have more, up to 24."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """tiny has groups of few rows only."""
        return cls(species=2, rows=5) if name == "tiny" else cls()

    def load(self) -> Crystals:
        """The decorated crystals."""
        from genkit_crystals.protostructures import tables

        if not 1 <= self.species <= 5 or not 1 <= self.rows <= 27 or self.orbits < 1:
            raise UsageError(f"aflow_prototypes: {self}; expected 1 to 5 species, 1 to 27 rows, orbits from 1")
        found = [
            new
            for one in originals()
            if len(one.composition) <= self.species and tables().rows[one.group] <= self.rows
            for new in decorations(one)
            if max(count for *_, count in one.orbits) <= self.orbits
        ]
        return Crystals.of(found)


def originals() -> list[Protostructure]:
    """The distinct protostructures of the library as it is, by their labels: pymatgen takes seconds to read it."""
    found, _, _ = read_labels(LABELS)
    return found


def decorations(crystal: Protostructure) -> Iterator[Protostructure]:
    """The crystal itself, and all substitutions of its elements by members of their families."""
    old = list(crystal.composition)
    for new in product(*(sorted({z, *family(z)}) for z in old)):
        if len(set(new)) == len(new):
            yield crystal.with_elements(dict(zip(old, new, strict=True)))


def family(z: int) -> tuple[int, ...]:
    """Elements that may stand in for one; none for noble gases and those beyond plutonium."""
    from pymatgen.core import Element

    if z in NOBLE or z > HEAVIEST:
        return ()
    for special in (LANTHANIDES, ACTINIDES):
        if z in special:
            return tuple(special)
    column = Element.from_Z(z).group
    rest = set(range(1, HEAVIEST + 1)) - set(LANTHANIDES) - set(ACTINIDES) - NOBLE
    return tuple(sorted(y for y in rest if Element.from_Z(y).group == column))
