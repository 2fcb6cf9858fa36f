"""Where structures stand: files and folders, packed or not, as entries of text that are read later.

Nothing is passed over without a word but hidden files: what is of no known kind is refused by its name.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
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
        yield from _file(path)
        return
    files = [p for p in sorted(path.rglob("*")) if not p.is_dir() and not _hidden(p.relative_to(path))]
    if not files:
        raise DataError(f"{path}: the folder is empty; expected {EXPECTED}")
    for file in files:
        try:
            yield from _file(file)
        except DataError as error:
            yield Reject(str(file), str(error).removeprefix(f"{file}").lstrip(": "))


def rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str], str]]:
    """Rows of a table as (place, row, name of the first of `columns` that the file has, in any case).

    Raises DataError for an empty file and for one that has none of the columns.
    """
    csv.field_size_limit(2**30)
    text = text_of(path, f"a table with a column {' or '.join(columns)}")
    head = text.lstrip("\n").partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=head.count))
    if not reader.fieldnames:
        raise DataError(f"{path}: the file is empty; expected a CSV table with a column {' or '.join(columns)}")
    names = {name.strip().lower(): name for name in reversed(reader.fieldnames) if name}
    column = next((names[c] for c in columns if c in names), None)
    if column is None:
        raise DataError(f"{path}: no column {' or '.join(columns)}; it has {', '.join(reader.fieldnames)}")
    line = reader.line_num + 1
    for row in reader:
        yield f"{path}:{line}", row, column
        line = reader.line_num + 1


def numbers_of(row: dict[str, Any]) -> dict[str, float]:
    """The finite numbers of a row by name; flags are none."""
    found = {}
    for name, value in row.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool) and isinstance(name, str):
            try:
                number = float(value)
            except ValueError:
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


def _file(path: Path) -> Iterator[Entry]:
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; expected {EXPECTED}")
    kind = _kind(path)
    if kind is None:
        raise DataError(f"{path}: unknown kind of file; expected {EXPECTED}")
    if kind == "csv":
        yield from _table(path)
        return
    text = text_of(path, EXPECTED)
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    if kind == "json":
        yield from _json(path, text)
    else:
        yield Entry(str(path), text, kind)


def _table(path: Path) -> Iterator[Entry]:
    for place, row, column in rows(path, COLUMNS):
        text = (row.pop(column) or "").strip()
        yield Entry(place, text, "json" if text.startswith("{") else "cif", numbers_of(row))


def _json(path: Path, text: str) -> Iterator[Entry]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: it is not JSON ({error})") from None
    if isinstance(content, dict) and {"columns", "data"} <= content.keys():  # a table of pandas
        content = [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    if isinstance(content, dict) and not {"lattice", "structure"} & content.keys():
        named = content.items()
    else:
        named = enumerate(content) if isinstance(content, list) else [(None, content)]
    for name, one in named:
        place, values = str(path) if name is None else f"{path}[{name}]", {}
        if isinstance(one, dict) and isinstance(one.get("structure"), dict):
            inner = one["structure"]
            values = numbers_of(one.get("data") or {} if isinstance(one.get("data"), dict) else {}) | numbers_of(one)
            if "Entry" in str(one.get("@class")) and "energy" in values:  # of all atoms
                values["energy_per_atom"] = values.pop("energy") / max(len(inner.get("sites", ())), 1)
            one = inner
        yield Entry(place, json.dumps(one), "json", values)
