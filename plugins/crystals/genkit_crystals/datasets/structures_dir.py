"""Structure files of one's own."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.data import cached
from genkit.errors import DataError, UsageError
from genkit_crystals.data import Crystals
from genkit_crystals.protostructures import (
    LIMIT,
    SYMPREC,
    Entry,
    Protostructure,
    Reject,
    encode,
    entries,
    numbers_of,
    rows,
    write_table,
)

NAMES = ("file", "name", "id", "material_id")


@dataclass(frozen=True)
class StructuresDir:
    """Structure files: a folder or file of CIF, POSCAR, extended xyz, JSON of pymatgen, or CSV with a column cif."""

    folder: Path | None = None
    """Folder, or one file."""
    table: Path | None = None
    """CSV table of numbers of the files of a folder: a column file (or name, id, material_id), and the numbers."""
    property: str | None = None
    """Number beside the structures that a model shall know, see crystals.property_guidance."""
    symprec: float = SYMPREC
    """Tolerance of the symmetry in A: a smaller one for exact coordinates, a larger one for rounded ones."""
    limit: float = LIMIT
    """Seconds for one structure."""
    workers: int | None = None
    """Processes; one a core if not given."""

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 < self.symprec <= 1 or self.limit <= 0:
            raise UsageError(f"symprec={self.symprec}, limit={self.limit}; expected A up to 1, and seconds")

    def path(self) -> Path | None:
        """The folder."""
        return self.folder

    def structures(self) -> Path | None:
        """The structures, which are known ones."""
        return self.folder

    def load(self) -> Crystals:
        """Their distinct crystals; the labels are kept in the cache, structures are not."""
        if self.folder is None:
            raise UsageError("structures_dir needs its folder: --data.folder structures/")
        beside = {} if self.table is None else _beside(self.table)
        found = from_structures(self.folder, self.symprec, self.workers, self.limit, beside)
        return found.with_target(self.property)


def from_structures(
    folder: Path,
    symprec: float = SYMPREC,
    workers: int | None = None,
    limit: float = LIMIT,
    beside: Mapping[str, dict[str, float]] | None = None,
) -> Crystals:
    """Crystals of structure files, by way of a table of what became of each in the cache.

    Args:
        folder: or a file.
        symprec: tolerance of the symmetry in A.
        workers: processes.
        limit: seconds for one structure.
        beside: numbers by the name of a file, with or without its ending.
    """
    import pymatgen.core
    import spglib

    todo = list(entries(folder))
    params: dict[str, Any] = {
        "entries": _digest(_texts(todo)),
        "symprec": symprec,
        "limit": limit,
        "versions": [pymatgen.core.__version__, spglib.__version__],
    }

    def make(path: Path) -> None:
        from genkit.train import Show

        with Show("encoding", len(todo)) as show:
            found = encode(todo, workers, symprec, lambda done: show.update(done, None), limit)
            show.say(found.summary())
        columns = ("place", "protostructure", "refused", "notes", "values")
        cells = [(r.place, r.label, r.reason, json.dumps(r.notes), json.dumps(r.values)) for r in found.reads]
        write_table(path, columns, cells)

    with cached("crystals/structures.csv", params, make).open(newline="") as file:
        reads = list(csv.DictReader(file))
    good = [r for r in reads if r["protostructure"]]
    values = [json.loads(r["values"]) | _of_file(r["place"], beside or {}) for r in good]
    notes = [Reject(r["place"], note) for r in reads for note in json.loads(r["notes"])]
    if beside and not any(_of_file(r["place"], beside) for r in good):
        raise DataError(f"no row of the table names a file of {folder}; it has {', '.join(list(beside)[:3])}, ...")
    crystals = [Protostructure.from_label(r["protostructure"]) for r in good]
    return Crystals.of(crystals, values, [Reject(r["place"], r["refused"]) for r in reads if r["refused"]], notes)


def _beside(table: Path) -> dict[str, dict[str, float]]:
    """Numbers by the name of a file."""
    return {row[column].strip(): numbers_of(row) for _, row, column in rows(table, NAMES)}


def _of_file(place: str, beside: Mapping[str, dict[str, float]]) -> dict[str, float]:
    """The numbers of the file of a place, FILE, FILE:line or FILE[part], by its whole name or without its endings."""
    name = Path(place.partition("[")[0]).name
    names = [name, name.removesuffix(".gz"), name.removesuffix(".gz").rpartition(".")[0]]
    return next((beside[one] for one in names if one in beside), {})


def _texts(todo: Iterable[Entry | Reject]) -> Iterable[str]:
    for one in todo:
        yield one.place
        yield f"{one.text}{one.values}" if isinstance(one, Entry) else one.reason


def _digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()
