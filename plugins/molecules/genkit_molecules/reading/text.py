"""From the bytes of a file to text and tables: compression, encodings, byte-order marks, separators, column names."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from genkit.errors import DataError

GZIP = b"\x1f\x8b"
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
SEPARATORS = (",", ";", "\t", "|")


def kind_of(path: Path) -> str:
    """The ending of a file in lower case, that inside of a packed one."""
    name = path.name.lower().removesuffix(".gz")
    return name.rpartition(".")[2] if "." in name else ""


def text_of(path: Path, expected: str) -> str:
    """The text of a file, lines ending in a line feed; it may be packed with gzip; `expected` says what it should hold.

    A byte-order mark tells the encoding; else it is UTF-8, or Latin-1 where that fails, whose every byte is a letter.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DataError(f"{path} {reason}; expected {expected}") from None
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is damaged gzip ({error}); fetch it again") from None
    elif path.suffix.lower() == ".gz":
        raise DataError(f"{path} is not packed with gzip; rename it without .gz, or pack it")
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "")
    if not encoding and b"\0" in content:
        raise DataError(f"{path} is no text, as it holds zero bytes; expected {expected}, in UTF-8")
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(f"{path} begins as {encoding} but is not ({error.reason}); save it as UTF-8") from None
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
