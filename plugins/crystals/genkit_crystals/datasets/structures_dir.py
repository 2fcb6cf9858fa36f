"""Structure files of one's own."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from genkit.data import cached, own_file
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

    def path(self) -> Path:
        """The folder."""
        if self.folder is None:
            raise UsageError("structures_dir needs its folder: --data.folder structures/")
        return own_file(self.folder, "structures, or a folder of them", folder=True)

    def structures(self) -> Path | None:
        """The structures, which are known ones."""
        return self.folder

    def load(self) -> Crystals:
        """Their distinct crystals; the labels are kept in the cache, structures are not."""
        found = from_structures(self.path(), self.symprec, self.workers, self.limit, self.table)
        return found.with_target(self.property)


def from_structures(
    folder: Path,
    symprec: float = SYMPREC,
    workers: int | None = None,
    limit: float = LIMIT,
    table: Path | None = None,
) -> Crystals:
    """Crystals of structure files, by way of a table of what became of each in the cache.

    Args:
        folder: or a file.
        symprec: tolerance of the symmetry in A.
        workers: processes.
        limit: seconds for one structure.
        table: numbers of the files, see `beside`.
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
        columns = ("place", "file", "protostructure", "refused", "notes", "values")
        cells = [(r.place, r.file, r.label, r.reason, json.dumps(r.notes), json.dumps(r.values)) for r in found.reads]
        write_table(path, columns, cells)

    with cached("crystals/structures.csv", params, make).open(newline="") as file:
        reads = list(csv.DictReader(file))
    good = [r for r in reads if r["protostructure"]]
    numbers = {} if table is None else beside(table, folder, {r["file"] for r in reads if r["file"]})
    values = [json.loads(r["values"]) | numbers.get(r["file"], {}) for r in good]
    notes = [Reject(r["place"], note) for r in reads for note in json.loads(r["notes"])]
    crystals = [Protostructure.from_label(r["protostructure"]) for r in good]
    return Crystals.of(crystals, values, [Reject(r["place"], r["refused"]) for r in reads if r["refused"]], notes)


def beside(table: Path, folder: Path, files: Collection[str]) -> dict[str, dict[str, float]]:
    """The numbers of a table by the file that each row names, by its path within the folder.

    A row names a file by its path or, where no other file has it, by its name alone, each with or without the ending.
    Raises DataError where a row names several files, two rows name one, or none names any.
    """
    paths, names = defaultdict(set), defaultdict(set)
    for file in files:
        for one in _spelled(file):
            paths[one].add(file)
            names[one.rpartition("/")[2]].add(file)
    found: dict[str, dict[str, float]] = {}
    seen, asked = {}, []
    for place, row, column in rows(table, NAMES):
        name = (row[column] or "").strip()
        if not name:
            raise DataError(f"{place}: no {column}; expected the name of a file")
        asked.append(name)
        path = _within(name, folder)
        named = {path} & {*files} or paths.get(path) or names.get(path) or set()
        if len(named) > 1:
            some = " or ".join(sorted(named)[:3])
            raise DataError(f"{place}: {name} may be {some}; write the path within the folder, with its ending")
        for file in named:
            if file in seen:
                raise DataError(f"{place}: {name} is {file}, which {seen[file]} names too; leave one of them out")
            found[file], seen[file] = numbers_of(row), place
    if not found:
        raise DataError(f"no row of the table names a file of {folder}; it has {', '.join(asked[:3])}, ...")
    return found


def _spelled(file: str) -> set[str]:
    """A path, without .gz, and without its ending."""
    plain = file.removesuffix(".gz")
    return {file, plain, str(PurePosixPath(plain).with_suffix(""))}


def _within(name: str, folder: Path) -> str:
    """The path within the folder of a name that may begin with that of the folder."""
    path = Path(name)
    for start in (folder, folder.resolve(), Path(folder.name)):
        if path.is_relative_to(start) and path != start:
            return path.relative_to(start).as_posix()
    return path.as_posix()


def _texts(todo: Iterable[Entry | Reject]) -> Iterable[str]:
    for one in todo:
        yield one.place
        yield f"{one.file}{one.text}{one.values}" if isinstance(one, Entry) else one.reason


def _digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()
