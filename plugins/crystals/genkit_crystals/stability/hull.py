"""Competing phases and the convex hull of their energies: what a crystal would decompose to.

The energy above the hull, in eV per atom, is that of a crystal less that of the best mixture of phases of its
composition; below 0 it is more stable than all of them. The phases' energies and the crystal's must come from one
source, a calculator by one protocol: numbers of two are never compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import DataError, UsageError
from genkit_crystals.protostructures import Reject, records, symbols, unwarned

FORMULA = ("formula", "composition", "formula_pretty", "pretty_formula", "reduced_formula")
SOURCE = ("source", "calculator")
STRUCTURES = ("cif", "structure", "lattice")
TOTAL, SHARE = "energy", "energy_per_atom"
OTHER = ("formation_energy_per_atom", "formation_energy", "e_form", "e_above_hull", "energy_above_hull")


@dataclass(frozen=True)
class Phase:
    """A competing phase."""

    formula: str
    energy: float
    """eV per atom."""
    place: str = ""


@dataclass(frozen=True)
class Hull:
    """Phases with energies of one source, among them each element that occurs. Raises DataError otherwise."""

    phases: tuple[Phase, ...]
    source: str
    """What computed the energies: the name of a calculator, or what their owner calls it."""
    place: str = "hull"
    left_out: tuple[Reject, ...] = ()
    """Phases whose energies could not be computed"""
    _compositions: list[Any] = field(default_factory=list, repr=False, compare=False)
    _diagrams: dict[frozenset[str], Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that there is a reference of each element."""
        from pymatgen.core import Composition

        if not self.phases:
            raise DataError(f"{self.place}: no phases; expected a formula and an energy in each row")
        self._compositions[:] = [Composition(one.formula) for one in self.phases]
        known = [{str(e) for e in one} for one in self._compositions]
        missing = sorted(set().union(*known) - set().union(*(one for one in known if len(one) == 1)))
        if missing:
            raise DataError(
                f"{self.place}: no elemental reference of {', '.join(missing)}; add the energy of the pure element, "
                "without which no hull is there"
            )

    def above(self, formula: str, energy: float) -> float:
        """Energy above the hull in eV per atom of a composition with an energy per atom; negative below it.

        Raises DataError where an element has no phase.
        """
        from pymatgen.analysis.phase_diagram import PDEntry
        from pymatgen.core import Composition

        composition = Composition(formula)
        diagram = self._diagram(frozenset(str(e) for e in composition))
        entry = PDEntry(composition, energy * composition.num_atoms)
        return float(diagram.get_decomp_and_e_above_hull(entry, allow_negative=True)[1])

    def _diagram(self, system: frozenset[str]) -> Any:
        """The phase diagram of a chemical system, made once."""
        if system not in self._diagrams:
            from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

            pairs = zip(self._compositions, self.phases, strict=True)
            within = [(c, one.energy) for c, one in pairs if {str(x) for x in c} <= system]
            missing = sorted(system - {str(x) for c, _ in within for x in c})
            if missing:
                raise DataError(f"the hull has no phase of {', '.join(missing)}")
            self._diagrams[system] = PhaseDiagram([PDEntry(c, e * c.num_atoms) for c, e in within])
        return self._diagrams[system]

    def require(self, calculator: str | None) -> None:
        """Refuse energies of another source than a calculator's."""
        if calculator is None:
            raise UsageError(
                f"{self.place}: the crystals have no energies to compare with; relax them by the calculator of the "
                f"hull, --realiser.calculator {self.source}"
            )
        if source_of(calculator) != source_of(self.source):
            raise UsageError(
                f"{self.place}: its energies are of {self.source}, those of the crystals of {calculator}; numbers of "
                "two sources make no hull: take phases of the same calculator (structure files are relaxed by it)"
            )


def source_of(name: str) -> str:
    """A name by which the spellings of one calculator are equal: emt, EMT, ase.calculators.emt:EMT."""
    name = name.strip()
    match = re.fullmatch(r"ase\.calculators\.\w+:(\w+)", name)
    known = {"chgnet.model.dynamics:CHGNetCalculator": "chgnet", "mace.calculators:mace_mp": "mace"}
    return match[1].lower() if match else known.get(name, name if ":" in name else name.lower())


def read_hull(path: Path, source: str | None = None) -> Hull:
    """Phases of a table: CSV or JSON (also .gz), a formula and an energy in each row.

    The formula is in a column of `FORMULA` (in JSON a dict of amounts too), the energy in energy_per_atom, or in
    energy: that of all atoms of the formula. They are in eV unless the title, energy_per_atom [meV], or a column
    `unit` says otherwise. The source is in a column source or calculator, the same in all rows, or given here. JSON
    is a list of such rows, of entries of pymatgen among them, or a dict with them in "phases" or "entries" and what
    they share. Raises DataError, with the row, UsageError.
    """
    return hull_of(rows_of(path), path, source)


def rows_of(path: Path) -> list[tuple[str, Any]]:
    """(place, record) of a table. Raises DataError, UsageError."""
    if not path.is_file():
        raise UsageError(f"--hull {path}: no such file; expected a CSV or JSON table of phases, or structures")
    return list(records(path, f"a CSV or JSON table with a formula and {SHARE} or {TOTAL} in each row, or structures"))


def hull_of(rows: Sequence[tuple[str, Any]], path: Path, source: str | None = None) -> Hull:
    """The hull of the rows of a table, see `read_hull`."""
    phases, sources = [], {}
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected a dict with formula and {SHARE} or {TOTAL}")
        if None in row:
            raise DataError(f"{place}: more values than columns")
        row = {str(k).strip(): v.strip() if isinstance(v, str) else v for k, v in row.items()}
        phases.append(_phase(place, row))
        said = next((str(row[c]).strip() for c in SOURCE if row.get(c) not in (None, "")), "")
        sources.setdefault(source_of(said), (said, place))
    if len(sources) > 1:
        (one, _), (other, place) = list(sources.values())[:2]
        raise DataError(
            f"{place}: an energy of {other or 'an unknown source'}, those before are of {one or 'an unknown source'}; "
            "numbers of two sources make no hull"
        )
    said = next(iter(sources.values()))[0] if sources else ""
    if said and source and source_of(said) != source_of(source):
        raise UsageError(f"{path} says that its energies are of {said}; it is asked for as one of {source}")
    if sources and not (said or source):
        raise UsageError(
            f"{path} does not say what computed its energies; add a column calculator, or --hull_source NAME, as "
            "numbers of two sources make no hull"
        )
    return Hull(tuple(phases), said or source or "", str(path))


def has_energies(rows: Sequence[tuple[str, Any]]) -> bool:
    """Whether the rows of a table are phases with energies, and not structures alone."""
    row = rows[0][1] if rows else {}
    if not isinstance(row, dict):
        return True  # and refused
    names = {str(name).strip().lower() for name in row}
    return not names & {*STRUCTURES} or any(_title(name)[0] for name in names)


def _phase(place: str, row: Mapping[str, Any]) -> Phase:
    formula = _formula(place, row)
    number: dict[bool, float] = {}  # by whether it is of an atom
    units: dict[bool, float] = {}
    for title, value in row.items():
        name, basis, unit = _title(str(title))
        if name not in (TOTAL, SHARE) or value in (None, ""):
            continue
        factor, of_atom = _unit(place, unit or str(row.get("unit") or "eV"), title)
        basis = of_atom if of_atom is not None else basis
        if basis != (name == SHARE) and name == SHARE:
            raise DataError(f"{place}: {title} is said to be of an atom and of a formula unit ({row.get('unit')})")
        if basis in number:
            raise DataError(f"{place}: two energies of {'an atom' if basis else 'all atoms'}; leave one of them out")
        number[basis], units[basis] = _number(place, title, value) * factor, factor
    if number and row.get("correction") not in (None, ""):  # as of pymatgen, of all atoms
        correction = _number(place, "correction", row["correction"])
        if correction and False not in number:
            raise DataError(f"{place}: a correction, of all atoms, beside an energy of an atom; give {TOTAL} in eV")
        if correction:
            number[False] += correction * units[False]
    if not number:
        other = next((c for c in OTHER if row.get(c) not in (None, "")), None)
        if other:
            raise DataError(
                f"{place}: {other} is no total energy; expected {SHARE} or {TOTAL} of the calculator, of elements too"
            )
        raise DataError(f"{place}: no energy; expected {SHARE} or {TOTAL} (of all atoms of the formula)")
    atoms = _amount(formula)
    per_atom = number.get(True, number.get(False, 0.0) / atoms)
    if len(number) == 2 and abs(number[False] / atoms - per_atom) > 1e-3:
        raise DataError(f"{place}: {TOTAL} {number[False]:g} of {atoms:g} atoms is not {SHARE} {per_atom:g}")
    return Phase(formula, per_atom, place)


def _formula(place: str, row: Mapping[str, Any]) -> str:
    from pymatgen.core import Composition

    given = next((row[c] for c in FORMULA if row.get(c) not in (None, "")), None)
    if given is None:
        raise DataError(f"{place}: no formula; expected a column {' or '.join(FORMULA)}")
    try:
        found = Composition(given if isinstance(given, dict) else str(given))
    except Exception as error:  # of many kinds
        raise DataError(f"{place}: {str(given)[:60]!r} is no chemical formula") from error
    strange = [str(e) for e in found if getattr(e, "symbol", "") not in symbols()]
    if strange or not found or min(found.values()) <= 0:
        raise DataError(f"{place}: {str(given)[:60]!r} is no chemical formula")
    with unwarned():
        return found.element_composition.formula.replace(" ", "")


def _amount(formula: str) -> float:
    from pymatgen.core import Composition

    return float(Composition(formula).num_atoms)


def _title(title: str) -> tuple[str, bool, str]:
    """(energy or energy_per_atom, whether of an atom, unit or "") of a column such as `energy_per_atom [meV]`."""
    match = re.fullmatch(r"([^\[(]*)(?:[\[(]([^\])]*)[\])])?", title.strip())
    name = match[1].strip().lower().replace(" ", "_") if match else ""
    known = {TOTAL: False, "total_energy": False, SHARE: True, "total_energy_per_atom": True}
    if match is None or name not in known:
        return "", False, ""
    return SHARE if known[name] else TOTAL, known[name], (match[2] or "").strip()


def _unit(place: str, text: str, title: Any) -> tuple[float, bool | None]:
    """(eV in the unit, whether it is of an atom; None if it does not say)."""
    from ase import units

    name, _, of = text.replace(" ", "").lower().partition("/")
    if name in ("kj", "kcal") and of.partition("/")[0] == "mol":
        name, of = name + "/mol", of.partition("/")[2]
    known = {
        "ev": 1.0, "mev": 1e-3, "ha": units.Hartree, "hartree": units.Hartree, "ry": units.Rydberg,
        "rydberg": units.Rydberg, "kj/mol": units.kJ / units.mol, "kcal/mol": units.kcal / units.mol,
    }  # fmt: skip
    whose = {"": None, "atom": True, "atoms": True, "fu": False, "f.u.": False, "formula": False, "cell": False}
    if name not in known or of not in whose:
        raise DataError(
            f"{place}: {title} in {text[:30]!r}, an unknown unit; expected eV, meV, Ha, Ry, kJ/mol or kcal/mol, of an "
            "atom (eV/atom) or of the formula (eV/fu)"
        )
    return known[name], whose[of]


def _number(place: str, title: Any, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise DataError(f"{place}: {title} {str(value)[:40]!r} is no finite number")
    return number
