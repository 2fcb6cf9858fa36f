"""Where structures stand: files and folders, packed or not, as entries of text that are read later.

Nothing is passed over without a word but hidden files: what is of no known kind is refused by its name.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import DataError
from genkit.files import text_of

COLUMNS = ("cif", "structure")
KINDS = {"cif": "cif", "mcif": "cif", "vasp": "poscar", "poscar": "poscar", "contcar": "poscar", "json": "json",
         "csv": "csv", "tsv": "csv", "xyz": "xyz", "extxyz": "xyz"}  # fmt: skip
EXPECTED = (
    ".cif, .mcif, POSCAR, .vasp, .xyz (extended), .json of pymatgen, .csv with a column cif, all perhaps with .gz"
)
LISTS = ("phases", "entries")
SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Entry:
    """Structures as text that is not read yet."""

    place: str
    """File, and line of a table."""
    text: str
    form: str
    """"cif", "poscar", "json" or "xyz"."""
    values: dict[str, float] = field(default_factory=dict)
    """Numbers that stand beside it, by name"""
    file: str = ""
    """Path of the file within the folder that was read"""


@dataclass(frozen=True)
class Reject:
    """A structure or label that was refused."""

    place: str
    reason: str


def entries(path: str | Path) -> Iterator[Entry | Reject]:
    """The structures of a file, or of all files of a folder and its subfolders but hidden ones.

    CIF (.cif, .mcif), POSCAR (named so, or .vasp), extended xyz, JSON of pymatgen (one structure, a list, a table of
    pandas, with or without properties beside `structure`), CSV with a column "cif" or "structure"; each perhaps packed
    with gzip. What a folder has beside these is a Reject; a path that is of no use by itself raises DataError.
    """
    path = Path(path)
    if not path.is_dir():
        yield from _file(path, path.name)
        return
    files = [p for p in sorted(path.rglob("*")) if not p.is_dir() and not _hidden(p.relative_to(path))]
    if not files:
        raise DataError(f"{path}: the folder is empty; expected {EXPECTED}")
    for file in files:
        try:
            yield from _file(file, file.relative_to(path).as_posix())
        except DataError as error:
            yield Reject(str(file), str(error).removeprefix(f"{file}").lstrip(": "))


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str], str]]:
    """Rows of a table as (place, row, name of the first of `columns` that the file has, in any case).

    Raises DataError for an empty file and for one that has none of the columns.
    """
    names, found = _table(path, f"a CSV table with a column {' or '.join(columns)}")
    column = _column(names, columns)
    if column is None:
        raise DataError(f"{path}: no column {' or '.join(columns)}; it has {', '.join(names)}")
    for place, row in found:
        yield place, row, column


def tabular(path: Path) -> bool:
    """Whether `records` reads a file, by its name."""
    return _kind(path) in ("csv", "json")


def records(path: Path, expected: str) -> Iterator[tuple[str, Any]]:
    """(place, record) of a CSV or JSON table: its rows; of JSON a list, a mapping, a table of pandas or one record.

    A mapping may have the list in "phases" or "entries", and beside it texts that all of its records share. Raises
    DataError, which says what was `expected`.
    """
    kind = _kind(path)
    if kind == "csv":
        yield from _table(path, expected)[1]
    elif kind == "json":
        yield from _json(path, text_of(path, expected))
    else:
        raise DataError(f"{path}: unknown kind of file; expected {expected}")


def entry_of(place: str, record: Any, file: str) -> Entry:
    """The structure of a record, and the numbers beside it."""
    column = _column(record, COLUMNS) if isinstance(record, dict) else None
    if column is None:
        return Entry(place, json.dumps(record), "json", {}, file)
    inner = record[column]
    values = numbers_of({name: value for name, value in record.items() if name != column})
    if not isinstance(inner, dict):
        text = str(inner or "").strip()
        return Entry(place, text, "json" if text.startswith("{") else "cif", values, file)
    if isinstance(data := record.get("data"), dict):
        values = numbers_of(data) | values
    if "Entry" in str(record.get("@class")) and "energy" in values:  # of all atoms
        values["energy_per_atom"] = values.pop("energy") / max(len(inner.get("sites", ())), 1)
    return Entry(place, json.dumps(inner), "json", values, file)


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of a row by name; flags are none."""
    found = {}
    for name, value in row.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool) and isinstance(name, str):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                continue
            if math.isfinite(number):
                found[name.strip()] = number
    return found


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kind(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    if name.startswith(("poscar", "contcar")):
        return "poscar"
    return KINDS.get(name.rpartition(".")[2])


def _column(names: Iterable[Any], wanted: tuple[str, ...]) -> str | None:
    """The name, as it is spelled, of the first of the wanted columns that is there."""
    known = {name.strip().lower(): name for name in reversed([*names]) if isinstance(name, str)}
    return next((known[one] for one in wanted if one in known), None)


def _file(path: Path, name: str) -> Iterator[Entry]:
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; expected {EXPECTED}")
    kind = _kind(path)
    if kind is None:
        raise DataError(f"{path}: unknown kind of file; expected {EXPECTED}")
    found = False
    if kind == "csv":
        for place, row, _ in rows(path, COLUMNS):
            found = True
            yield entry_of(place, row, name)
        if not found:
            raise DataError(f"{path}: the table has no rows")
        return
    text = text_of(path, EXPECTED)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    if kind == "json":
        for place, record in _json(path, text):
            found = True
            yield entry_of(place, record, name)
        if not found:
            raise DataError(f"{path}: the list is empty")
    else:
        yield Entry(str(path), text, kind, {}, name)


def _table(path: Path, expected: str) -> tuple[list[str], Iterator[tuple[str, dict[str, Any]]]]:
    """Names of the columns of a CSV table, and (place, row)."""
    csv.field_size_limit(2**30)
    text = text_of(path, expected)
    head = text.lstrip("\n").partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=head.count))
    if not reader.fieldnames:
        raise DataError(f"{path}: the file is empty; expected {expected}")

    def found() -> Iterator[tuple[str, dict[str, Any]]]:
        line = reader.line_num + 1
        for row in reader:
            yield f"{path}:{line}", row
            line = reader.line_num + 1

    return list(reader.fieldnames), found()


def _json(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({error})") from None
    shared: dict[str, Any] = {}
    if isinstance(content, dict) and {"columns", "data"} <= content.keys():  # a table of pandas
        content = _of_pandas(path, content["columns"], content["data"])
    if isinstance(content, dict) and (inner := next((k for k in LISTS if isinstance(content.get(k), list)), None)):
        shared = {name: value for name, value in content.items() if isinstance(value, str)}
        content = content[inner]
    if isinstance(content, list):
        named: Iterable[Any] = enumerate(content)
    elif isinstance(content, dict) and not {"lattice", "structure"} & content.keys():
        named = content.items()
    else:
        named = [(None, content)]
    for name, one in named:
        yield str(path) if name is None else f"{path}[{name}]", {**shared, **one} if isinstance(one, dict) else one


def _of_pandas(path: Path, columns: Any, data: Any) -> list[dict[str, Any]]:
    try:
        return [dict(zip(columns, row, strict=True)) for row in data]
    except (TypeError, ValueError):
        raise DataError(f"{path}: no table; expected in data a list for each row, a value for each column") from None
