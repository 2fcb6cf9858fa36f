"""Structure files of one's own."""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.data import cached
from genkit.errors import UsageError
from genkit_crystals.data import Crystals
from genkit_crystals.protostructures import SYMPREC, Protostructure, Reject, encode, entries, write_table


@dataclass(frozen=True)
class StructuresDir:
    """Structure files: a folder or file of CIF, POSCAR, JSON of pymatgen, or CSV with a column cif (as of MP-20)."""

    folder: Path | None = None
    """Folder, or one file."""
    symprec: float = SYMPREC
    """Tolerance of spglib in A."""
    workers: int | None = None
    """Processes; one a core if not given."""

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
        return from_structures(self.folder, self.symprec, self.workers)


def from_structures(folder: Path, symprec: float = SYMPREC, workers: int | None = None) -> Crystals:
    """Crystals of structure files, by way of a table of labels and refusals in the cache."""
    import pymatgen.core
    import spglib

    todo = list(entries(folder))
    params: dict[str, Any] = {
        "entries": _digest(text for e in todo for text in (e.place, e.text)),
        "symprec": symprec,
        "versions": [pymatgen.core.__version__, spglib.__version__],
    }

    def make(path: Path) -> None:
        from genkit.train import Show

        with Show("encoding", len(todo)) as show:
            found = encode(todo, workers, symprec, lambda done: show.update(done, None))
            show.say(found.summary())
        good = [(place, label, "") for place, label in zip(found.places, found.labels, strict=True)]
        bad = [(r.place, "", r.reason) for r in found.rejects]
        columns = zip(*good, *bad, strict=True)
        write_table(path, dict(zip(("place", "protostructure", "refused"), columns, strict=True)))

    with cached("crystals/structures.csv", params, make).open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = [Protostructure.from_label(r["protostructure"]) for r in rows if r["protostructure"]]
    return Crystals.of(good, rejects=[Reject(r["place"], r["refused"]) for r in rows if r["refused"]])


def _digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode())
    return whole.hexdigest()
