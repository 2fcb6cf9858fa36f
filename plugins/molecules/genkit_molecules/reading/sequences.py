"""Files of sequences: FASTA, alignments in A3M, A2M and Stockholm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genkit.errors import DataError
from genkit.files import text_of
from genkit_molecules.items import GAP
from genkit_molecules.reading.text import kind_of

EXPECTED = "sequences in FASTA (.fasta, .fa, .faa), A3M (.a3m) or Stockholm (.sto)"
INSERTING = ("a3m", "a2m")
ANNOTATION = ("ss_", "sa_", "aa_")  # names of rows that HH-suite adds: secondary structure, accessibility


@dataclass(frozen=True)
class Record:
    """A sequence of a file."""

    line: int
    """of its header"""
    name: str
    letters: str
    """as they stand there; lower case in A3M and A2M is an insertion; gaps are "-" """

    @property
    def annotation(self) -> bool:
        """Whether it says something of the others and is no sequence."""
        return self.name.startswith(ANNOTATION) or self.name.lower().endswith("consensus")


def inserting(path: Path) -> bool:
    """Whether lower-case letters of the file are insertions."""
    return kind_of(path) in INSERTING


def records(path: Path) -> list[Record]:
    """The sequences of a file, annotations among them."""
    lines = text_of(path, EXPECTED).split("\n")
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise DataError(f"{path} is empty; expected {EXPECTED}")
    found = _stockholm(path, lines) if first.startswith("# STOCKHOLM") else list(_fasta(path, lines))
    # gaps beside insertions, which A3M may leave out
    gap = "" if inserting(path) else GAP
    return [Record(one.line, one.name, one.letters.replace(".", gap).replace("~", gap)) for one in found]


def _fasta(path: Path, lines: list[str]) -> Iterator[Record]:
    at, name, parts = 0, "", []
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if line.startswith(">"):
            if at:
                yield Record(at, name, "".join(parts))
            at, name, parts = number, (line[1:].split() or [str(number)])[0], []
        elif line and not line.startswith((";", "#")):
            if not at:
                raise DataError(f"{path}, line {number}: {line[:20]!r} stands before the first header; expected '>'")
            parts += line.split()
    if not at:
        raise DataError(f"{path} has no header; expected {EXPECTED}")
    yield Record(at, name, "".join(parts))


def _stockholm(path: Path, lines: list[str]) -> list[Record]:
    """Rows of all blocks; of an alignment that marks its columns (#=GC RF) those that are no insertions."""
    rows: dict[str, Record] = {}
    marks = ""
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if line.startswith("//"):
            if more := next((n for n, rest in enumerate(lines[number:], number + 1) if rest.strip()), 0):
                raise DataError(f"{path}, line {more}: a second alignment begins; expected one: split the file")
            break
        if words[:2] == ["#=GC", "RF"]:
            marks += words[-1]
        elif words and not line.startswith("#"):
            if len(words) != 2:
                raise DataError(f"{path}, line {number}: {line[:40]!r} is no row; expected a name and letters")
            name, letters = words
            before = rows.get(name, Record(number, name, ""))
            rows[name] = Record(before.line, name, before.letters + letters)
    if not rows:
        raise DataError(f"{path} has no rows; expected {EXPECTED}")
    columns = len(next(iter(rows.values())).letters)
    for row in rows.values():
        if len(row.letters) != columns:
            raise DataError(f"{path}, line {row.line}: {row.name!r} has {len(row.letters)} columns in all blocks and "
                            f"the first row {columns}; expected rows of one length: mend it")  # fmt: skip
    kept = [place for place, mark in enumerate(marks) if mark not in ".~"]
    if not kept or any(len(row.letters) != len(marks) for row in rows.values()):
        return list(rows.values())
    return [Record(row.line, row.name, "".join(row.letters[i] for i in kept)) for row in rows.values()]
