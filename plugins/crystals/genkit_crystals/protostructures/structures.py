"""From structure files to protostructures, many at once, with a list of what was refused and why.

The symmetry is found by spglib within 0.1 A and 5 degrees (as in the label of pymatgen), and again at 1e-5 A on the
refined structure where that fails.
"""

import csv
import gzip
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from genkit.errors import DataError
from genkit.workers import each
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.wyckoff import ELEMENTS

SYMPREC = 0.1  # A
COLUMNS = ("cif", "structure")
POSCARS = (".vasp", ".poscar", ".contcar")


@dataclass(frozen=True)
class Entry:
    """A structure as text that is not read yet."""

    place: str
    """File, and line of a table."""
    text: str
    form: str
    """"cif", "poscar" or "json"."""


@dataclass(frozen=True)
class Reject:
    """A structure or label that was refused."""

    place: str
    reason: str


@dataclass(frozen=True)
class Encoded:
    """Labels with their places, and what was refused."""

    labels: tuple[str, ...]
    places: tuple[str, ...]
    rejects: tuple[Reject, ...]

    def summary(self) -> str:
        """One line of counts, by reason."""
        reasons = Counter(r.reason.partition(":")[0] for r in self.rejects)
        why = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common())
        return f"{len(self.labels)} encoded, {len(self.rejects)} refused" + (f" ({why})" if why else "")


def protostructure(structure: Any, symprec: float = SYMPREC) -> Protostructure:
    """The protostructure of a pymatgen Structure; raises DataError with the reason.

    Oxidation states and other properties of sites do not count.
    """
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib

    if not structure.is_ordered:
        raise DataError("disordered sites: a Wyckoff position holds one element; order the structure first")
    strange = [str(s) for s in structure.elements if not getattr(s, "Z", 0) or s.Z > ELEMENTS]
    if strange:
        raise DataError(f"element not represented: {', '.join(strange)}; elements 1 to {ELEMENTS} are")
    plain = structure.copy(site_properties={})
    plain.remove_oxidation_states()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # spglib tells of what it then mends
            label = get_protostructure_label_from_spglib(plain, raise_errors=True, init_symprec=symprec)
    except Exception as error:
        raise DataError(f"no symmetry found: {_line(error)}") from error
    return Protostructure.from_label(label)


def parse(entry: Entry) -> Any:
    """The pymatgen Structure of an entry; raises DataError with the reason."""
    from pymatgen.core import Structure
    from pymatgen.io.cif import CifParser

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as coordinates rounded to special positions
            if entry.form == "cif":
                found = CifParser.from_str(entry.text).parse_structures(primitive=False, on_error="raise")
                return found[0]
            return Structure.from_str(entry.text, fmt=entry.form)  # type: ignore[arg-type]
    except Exception as error:
        raise DataError(f"unreadable {entry.form}: {_line(error)}") from error


def structures(entry: Entry) -> list[tuple[str, Any]]:
    """(place, pymatgen Structure) of each structure of an entry; text, the reason, in place of one that is refused."""
    try:
        return [(entry.place, parse(entry))]
    except DataError as error:
        return [(entry.place, str(error))]


def encode(
    entries: Iterable[Entry],
    workers: int | None = None,
    symprec: float = SYMPREC,
    progress: Callable[[int], None] = lambda done: None,
) -> Encoded:
    """Labels of all entries, in their order; what is refused stops nothing.

    Args:
        entries: such as `entries(path)`.
        workers: processes; None for one a core, fewer where there are few entries.
        symprec: tolerance of spglib in A.
        progress: called with the number of entries done.
    """
    entries = list(entries)
    found = each(partial(_label, symprec=symprec), entries, share=50, workers=workers, progress=progress)
    good = [(label, e.place) for e, (label, _) in zip(entries, found, strict=True) if label]
    bad = [Reject(e.place, reason) for e, (label, reason) in zip(entries, found, strict=True) if not label]
    return Encoded(tuple(label for label, _ in good), tuple(place for _, place in good), tuple(bad))


def entries(path: str | Path) -> Iterator[Entry]:
    """The structures of a file, or of all files of a folder and its subfolders that are of a known form.

    CIF (.cif), POSCAR (named so, or .vasp), JSON of pymatgen (one structure or a list), CSV with a column "cif" or
    "structure" (also .csv.gz).
    """
    path = Path(path)
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and _form(p)):
            yield from entries(file)
        return
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; expected structure files")
    form = _form(path)
    if form is None:
        raise DataError(f"{path}: unknown kind of file; expected .cif, POSCAR, .vasp, .json, .csv or .csv.gz")
    if form == "csv":
        yield from _table(path)
    elif form == "json":
        yield from _json(path)
    else:
        yield Entry(str(path), path.read_text(errors="replace"), form)


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str], str]]:
    """Rows of a CSV file as (place, row, name of the first of `columns` that the file has).

    Raises DataError for an empty file and for one that has none of the columns.
    """
    csv.field_size_limit(2**30)
    opened = gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")
    with opened as file:
        reader = csv.DictReader(file)
        if not reader.fieldnames:
            raise DataError(f"{path}: the file is empty; expected a CSV table with a column {' or '.join(columns)}")
        column = next((c for c in columns if c in reader.fieldnames), None)
        if column is None:
            raise DataError(f"{path}: no column {' or '.join(columns)}; it has {', '.join(reader.fieldnames)}")
        line = reader.line_num + 1
        for row in reader:
            yield f"{path}:{line}", row, column
            line = reader.line_num + 1


def _table(path: Path) -> Iterator[Entry]:
    for place, row, column in rows(path, COLUMNS):
        text = (row[column] or "").strip()
        yield Entry(place, text, "json" if text.startswith("{") else "cif")


def _json(path: Path) -> Iterator[Entry]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        content = [f"{error}"]
    if isinstance(content, dict) and "lattice" not in content:
        content = list(content.values())
    for i, one in enumerate(content if isinstance(content, list) else [content]):
        one = one.get("structure", one) if isinstance(one, dict) else one
        yield Entry(f"{path}[{i}]" if isinstance(content, list) else str(path), json.dumps(one), "json")


def _form(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    if name.startswith(("poscar", "contcar")) or path.suffix.lower() in POSCARS:
        return "poscar"
    return {".cif": "cif", ".json": "json"}.get(path.suffix.lower())


def _label(entry: Entry, symprec: float) -> tuple[str, str]:
    """(label, ""), or ("", reason)."""
    try:
        return protostructure(parse(entry), symprec).label, ""
    except DataError as error:
        return "", str(error)


def _line(error: Exception) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
