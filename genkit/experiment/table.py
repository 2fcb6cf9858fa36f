"""Tables of results: how numbers look, which is best, and when one beats what no model can beat."""

from __future__ import annotations

import fnmatch
import math
import numbers
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

Rows = Sequence[Sequence[Any]]
NOTHING = "–"  # in place of a value that there is not
Best = Mapping[str, Literal["low", "high"]]


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty, one standard error unless the caption says otherwise; None where it has none."""

    value: float | None
    error: float | None = None


@dataclass(frozen=True)
class Link:
    """Text that leads to a file, whose path is within the run folder."""

    text: str
    file: str


def cell(value: Any) -> str:
    """A value as a table shows it: numbers with four digits; estimates with the digits that their error leaves."""
    if isinstance(value, Estimate):
        error = value.error
        if value.value is None or error is None or not 0 < error < math.inf:
            return cell(value.value)
        digits = max(0, 1 - math.floor(math.log10(error)))  # two digits of the error
        if digits > 8:
            return f"{value.value:.3g} ± {error:.2g}"
        return f"{value.value:.{digits}f} ± {error:.{digits}f}"
    if isinstance(value, Link):
        return value.text
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return NOTHING if value is None else str(value)
    return str(value) if isinstance(value, numbers.Integral) else f"{float(value):.4g}"


def filled(header: Sequence[str], rows: Rows) -> tuple[list[str], list[list[Any]], str]:
    """A table without the rows and columns that hold nothing but their title, and a sentence that names them; or none.

    A table that holds nothing at all stays.
    """
    full = [[cell(value) != NOTHING for value in row] for row in rows]
    at = [i for i, row in enumerate(full) if any(row[1:])]
    columns = [0, *(j for j in range(1, len(header)) if any(full[i][j] for i in at))]
    if not at:
        return list(header), [list(row) for row in rows], ""
    empty = [cell(row[0]) for i, row in enumerate(rows) if i not in at]
    empty += [title for j, title in enumerate(header) if j not in columns]
    said = f"Without any value: {', '.join(empty)}." if empty else ""
    return [header[j] for j in columns], [[rows[i][j] for j in columns] for i in at], said


def best_cells(header: Sequence[str], rows: Rows, best: Best, aside: Collection[str] = ()) -> list[tuple[int, int]]:
    """Places (row, column) of the best numbers; equal ones in what is shown are all best.

    `best` says of titles (or patterns of them) whether low or high is good. A column is compared down its rows. Rows
    that one pattern names are compared with each other in each column, a single one across its columns. Rows and
    columns in `aside` are references and do not compete.
    """
    found = []
    for lower, cells in _contests(header, rows, best):
        at = {c: v for c in cells if not _is_in(aside, header, rows, c) and (v := _number(rows, c)) is not None}
        if len(at) > 1:
            shown = {(i, j): float(cell(rows[i][j]).partition(" ± ")[0]) for i, j in at}
            top = shown[min(at, key=at.__getitem__) if lower else max(at, key=at.__getitem__)]
            found += [c for c in at if shown[c] == top]
    return sorted(set(found))


def luck(header: Sequence[str], rows: Rows, best: Best, floor: Collection[str], aside: Collection[str] = ()) -> str:
    """A sentence on numbers that are better than the floor, which only the luck of a finite sample makes; or none."""
    found: dict[str, None] = {}
    for lower, cells in _contests(header, rows, best):
        bounds = [v for c in cells if _is_in(floor, header, rows, c) and (v := _number(rows, c)) is not None]
        for i, j in cells if bounds else ():
            value = None if _is_in([*floor, *aside], header, rows, (i, j)) else _number(rows, (i, j))
            if value is not None and (value < min(bounds) if lower else value > max(bounds)):
                found[f"{rows[i][0]} ({header[j]})"] = None
    if not found:
        return ""
    return f"Better than {' and '.join(floor)} by the luck of the samples, as no model can be: {', '.join(found)}."


def printed(
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    title: str,
    width: int,
    marked: Collection[tuple[int, int]] = (),
    left: Collection[str] = (),
) -> Iterator[Table | Text]:
    """The table for a terminal of this width, in parts where it is wider; what is marked is bold.

    Numbers stand on the right of their columns. Text, as in the columns `left`, stands on the left, and may be broken
    between its words.
    """
    yield Text(title, "bold")
    columns = list(zip(header, *cells, strict=True))
    needed = [max(map(len, column)) for column in columns]
    if sum(needed) + 3 * len(needed) + 1 > width:  # titles and texts may have several lines
        texts = [column if column[0] in left else column[:1] for column in columns]
        needed = [
            max(map(len, [*" ".join(text).split(), *column[len(text) :]]), default=0)
            for text, column in zip(texts, columns, strict=True)
        ]
    needed[0] = min(needed[0], max(20, width // 2))  # what is longer is folded
    needed[1:] = [min(one, max(20, width - needed[0] - 7)) for one in needed[1:]]  # a column has two spaces and a line
    for some in _side_by_side(needed, width):
        shown = Table()
        for j in some:
            side = "right" if j and header[j] not in left else "left"
            shown.add_column(Text(header[j]), justify=side, width=needed[j], overflow="fold")
        for i, row in enumerate(cells):
            shown.add_row(*(Text(row[j], "bold" if (i, j) in marked else "") for j in some))
        yield shown


def _side_by_side(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Columns that fit beside each other, the first one in each table: no number is cut off."""
    some, used = [0], widths[0] + 4
    for i, width in enumerate(widths[1:], 1):
        if len(some) > 1 and used + width + 3 > room:
            yield some
            some, used = [0], widths[0] + 4
        some.append(i)
        used += width + 3
    yield some


def _contests(header: Sequence[str], rows: Rows, best: Best) -> Iterator[tuple[bool, list[tuple[int, int]]]]:
    """Cells that compete, and whether low is good."""
    for pattern, direction in best.items():
        columns = [j for j in range(1, len(header)) if _fits(header[j], pattern)]
        for j in columns:
            yield direction == "low", [(i, j) for i in range(len(rows))]
        named = [] if columns else [i for i, row in enumerate(rows) if _fits(str(row[0]), pattern)]
        if len(named) == 1:
            yield direction == "low", [(named[0], j) for j in range(1, len(header))]
        elif named:
            for j in range(1, len(header)):
                yield direction == "low", [(i, j) for i in named]


def _fits(title: str, pattern: str) -> bool:
    return title == pattern or fnmatch.fnmatchcase(title, pattern)


def _is_in(names: Collection[str], header: Sequence[str], rows: Rows, place: tuple[int, int]) -> bool:
    """Whether the row or the column of a place is one of these."""
    return str(rows[place[0]][0]) in names or header[place[1]] in names


def _number(rows: Rows, place: tuple[int, int]) -> float | None:
    value = rows[place[0]][place[1]]
    value = value.value if isinstance(value, Estimate) else value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return float(value) if math.isfinite(value) else None
