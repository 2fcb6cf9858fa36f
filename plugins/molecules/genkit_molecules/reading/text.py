"""Tables as text: endings of files, separators, column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from genkit.errors import DataError
from genkit.files import text_of

SEPARATORS = (",", ";", "\t", "|")


def kind_of(path: Path) -> str:
    """The ending of a file in lower case, that inside of a packed one."""
    name = path.name.lower().removesuffix(".gz")
    return name.rpartition(".")[2] if "." in name else ""


def column(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """(line, word) of a column of a table; its first line has the names, and the most frequent separator there counts.

    The name is looked for as it is, then in any case, then as a part of a name.
    """
    text = text_of(path, "a table whose first line names the columns")
    head = text.lstrip("\n").partition("\n")[0]
    table = csv.DictReader(io.StringIO(text), delimiter=max(SEPARATORS, key=head.count), skipinitialspace=True)
    names = [word for word in table.fieldnames or () if word]
    place = _named(names, name)
    if not place:
        raise DataError(f"{path} has no column {name!r}, but {', '.join(names) or 'nothing'}; name one of these")
    for row in table:
        yield table.line_num, (row[place] or "").strip()


def _named(names: list[str], name: str) -> str:
    """The one column that is meant, or "" for none or several."""
    low = name.lower()
    for meant in (
        [n for n in names if n == name],
        [n for n in names if n.strip().lower() == low],
        [n for n in names if low in n.lower()],
    ):
        if meant:
            return meant[0] if len(meant) == 1 else ""
    return ""
