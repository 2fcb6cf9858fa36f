"""The table of what became of samples: structures.csv, a row each, in the order in which they were drawn."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.files import damaged
from genkit_crystals.protostructures import Protostructure, Realised, write_table

NAN = float("nan")


@dataclass(frozen=True)
class Candidate:
    """A drawn crystal and its structure; numbers are NaN where there is none."""

    protostructure: str
    """Label that was drawn; empty for one without atoms."""
    file: str
    """CIF file, within the run folder; empty where there is none."""
    reason: str
    """Why there is no structure, or what is wrong with it."""
    label: str
    """Of the structure."""
    energy_per_atom: float = NAN
    """eV."""
    nearest: float = NAN
    steps: float = NAN
    """Of the relaxation."""
    converged: float = NAN
    """1 or 0."""
    tries: float = 0.0
    seconds: float = 0.0
    e_hull: float = NAN
    """Energy above the hull, eV per atom."""
    new_label: float = NAN
    """1 or 0, as those that follow: whether no known crystal has its label."""
    new_structure: float = NAN
    """Whether no known structure matches."""
    unique_label: float = NAN
    """Whether it is the lowest, or the first, of those with its label."""
    unique_structure: float = NAN
    """The same of those that match it."""

    @classmethod
    def of(cls, place: int, crystal: Protostructure | None, made: Realised | None) -> Candidate:
        """That of a sample, its file named by its place and formula."""
        if crystal is None or made is None:
            return cls("", "", "no atoms", "")
        file = "" if made.structure is None else f"cif/{place:05d}_{crystal.chemical_formula}.cif"
        steps, converged = (NAN if one is None else float(one) for one in (made.steps, made.converged))
        return cls(
            crystal.label, file, made.reason, made.label, made.energy, made.nearest, steps, converged, made.tries,
            made.seconds,
        )  # fmt: skip

    @property
    def relaxed(self) -> bool:
        """Whether it has an energy that is that of a minimum."""
        return bool(self.file) and self.energy_per_atom == self.energy_per_atom and self.converged == 1

    @property
    def is_new(self) -> bool:
        """By StructureMatcher, by its label where there are no known structures."""
        return (self.new_structure if self.new_structure == self.new_structure else self.new_label) == 1


def write_candidates(path: Path, found: Sequence[Candidate]) -> None:
    """Write the table; what is NaN is left empty."""
    rows = [["" if one != one else one for one in astuple(row)] for row in found]
    write_table(path, [f.name for f in fields(Candidate)], rows)


def read_candidates(path: Path) -> list[Candidate]:
    """Read the table. Raises `GenkitError`."""
    mend = "`genkit evaluate RUN` makes it again"
    try:
        with path.open(newline="") as file:
            return [_read(row) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise GenkitError(f"{path} does not exist; {mend}") from None
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise damaged(path, f"is no table of structures ({error})", mend) from None


def _read(row: dict[str, str]) -> Candidate:
    texts = ("protostructure", "file", "reason", "label")
    names = [f.name for f in fields(Candidate)]
    values: dict[str, Any] = {name: row[name] if name in texts else float(row[name] or "nan") for name in names}
    file = row["file"]
    if file and (Path(file).parent.name != "cif" or len(Path(file).parts) != 2):
        raise ValueError(f"{file[:60]!r} is no file in cif/")
    return Candidate(**values)
