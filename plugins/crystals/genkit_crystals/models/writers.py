"""Files of drawn crystals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import UsageError
from genkit.model import Piece
from genkit_crystals.protostructures import Protostructure, Realised, Realiser, realise, write_table

COLUMNS = ("label", "group", "formula", "atoms", "file", "reason", "log_w")
MADE = ("realised", "energy_per_atom", "steps", "converged")  # of a folder, besides


@dataclass(frozen=True)
class Table:
    """Labels as a CSV table."""

    path: Path
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def write(self, piece: Piece) -> None:
        """Add a piece."""
        for label, log_w in zip(*_read(piece), strict=True):
            crystal = Protostructure.from_label(label) if label else None
            self.rows.append(_row(crystal, log_w, "", "" if label else _why(log_w)))

    def close(self) -> str:
        """Write the table; returns what is in it."""
        return _written(self.path, self.rows)


@dataclass(frozen=True)
class Folder:
    """Structures as CIF files, with `samples.csv`; a structure's free numbers depend on its place and label."""

    path: Path
    realiser: Realiser = field(default_factory=Realiser)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse a folder with other files."""
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            raise UsageError(f"--out {self.path} is not an empty folder; choose another one")

    def write(self, piece: Piece) -> None:
        """Make structures of a piece, and write them."""
        found, weights = _read(piece)
        crystals = {i: Protostructure.from_label(label) for i, label in enumerate(found, len(self.rows)) if label}
        # a seed of its own for each place: structures do not depend on the pieces
        made = realise([*crystals.values()], self.realiser, [*crystals])
        by_place = dict(zip(crystals, made, strict=True))
        for log_w in weights:
            file, reason, one = "", _why(log_w), by_place.get(len(self.rows))
            if one is not None:
                reason = one.reason
                if one.structure is not None:
                    file = f"{len(self.rows):05d}_{one.crystal.chemical_formula}.cif"
                    one.write_cif(self.path / file)
            self.rows.append((*_row(one and one.crystal, log_w, file, reason), *_made(one)))

    def close(self) -> str:
        """Write `samples.csv`; returns what is in the folder."""
        files = sum(bool(row[4]) for row in self.rows)
        return f"{_written(self.path / 'samples.csv', self.rows, COLUMNS + MADE)}, {files} CIF files"


def _read(piece: Piece) -> tuple[list[str], list[Any]]:
    """Labels and log-weights; "" where nothing is weighed."""
    found = [str(label) for label in piece["samples"]]
    return found, piece["log_w"].tolist() if "log_w" in piece else [""] * len(found)


def _why(log_w: Any) -> str:
    """Why there is no crystal."""
    return "no particle was as asked" if log_w == -np.inf else "no atoms"


def _row(crystal: Protostructure | None, log_w: Any, file: str, reason: str) -> tuple[Any, ...]:
    if crystal is None:
        return "", "", "", "", "", reason, log_w
    return crystal.label, crystal.group, crystal.chemical_formula, crystal.atoms, file, reason, log_w


def _made(one: Realised | None) -> tuple[Any, ...]:
    """What a relaxation says; its label may be a new one."""
    if one is None or one.structure is None:
        return ("",) * len(MADE)
    energy = one.energy if one.energy == one.energy else ""
    return one.label, energy, *("" if told is None else told for told in (one.steps, one.converged))


def _written(path: Path, rows: list[tuple[Any, ...]], names: tuple[str, ...] = COLUMNS) -> str:
    write_table(path, names, rows)
    return f"{sum(bool(row[0]) for row in rows)} crystals of {len(rows)}"
