"""Tables as text: endings of files, separators, column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from genkit.errors import DataError
from genkit.files import text_of

SEPARATORS = (",", ";", "\t", "|")
EXPECTED = "a table whose first line names the columns"
END = "\0"  # a row of its own behind a table, but in one that ends inside quotes


def kind_of(path: Path) -> str:
    """The ending of a file in lower case, that inside of a packed one."""
    name = path.name.lower().removesuffix(".gz")
    return name.rpartition(".")[2] if "." in name else ""


def column(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """(line, word) of a column of a table; its first line has the names, and the most frequent separator there counts.

    The name is looked for as it is, then in any case, then as a part of a name.
    """
    rows = _rows(path)
    _, names = next(rows, (0, []))
    if not names:
        raise DataError(f"{path} is empty; expected {EXPECTED}")
    places = _named(names, name)
    if len({names[place] for place in places}) != 1:
        raise DataError(
            f"{path} has no column {name!r}, but {', '.join(filter(str.strip, names)) or 'nothing'}; name one of these"
        )
    if places[1:]:
        raise DataError(f"{path} has {len(places)} columns {names[places[0]]!r}; rename all but one")
    for line, row in rows:
        yield line, "".join(row[places[0] : places[0] + 1]).strip()


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, words) of the rows of a table; a text in quotes may hold several lines."""
    text = text_of(path, EXPECTED)
    head = text.lstrip("\n").partition("\n")[0]
    lines = chain(io.StringIO(text), [END] if text.endswith("\n") else ["\n", END])
    table = csv.reader(lines, delimiter=max(SEPARATORS, key=head.count), skipinitialspace=True)
    line = 1
    try:
        for row in table:
            if row == [END]:
                return
            if row and row[-1].endswith(END):
                break
            if row:
                yield line, row
            line = table.line_num + 1
    except csv.Error:
        pass
    most = csv.field_size_limit()
    raise DataError(f"{path}, line {line}: a quote is not closed, or a word has more than {most:,} letters; mend it")


def _named(names: list[str], name: str) -> list[int]:
    """The places of the columns that may be meant."""
    low = name.lower()
    for is_meant in (
        lambda one: one == name,
        lambda one: one.strip().lower() == low,
        lambda one: low in one.lower(),
    ):
        if places := [place for place, one in enumerate(names) if is_meant(one)]:
            return places
    return []
