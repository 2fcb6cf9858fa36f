"""Protein sequences of files (FASTA, A3M)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.data import fetch
from genkit.errors import DataError, UsageError
from genkit_molecules.items import AMINO, GAP, ODD, Sequences, encode


@dataclass(frozen=True)
class Fasta:
    """Sequences of a FASTA file (.fasta, .fa, .faa) or of an alignment (.a3m, or FASTA with gaps).

    Lower-case letters of an A3M file are insertions: in an alignment they are left out. Each sequence counts once.
    """

    file: str = ""
    """path of the file"""
    gaps: Literal["class", "remove"] = "class"
    """a gap of an alignment is one class more, or sequences are taken without gaps and with their insertions"""
    odd: Literal["drop", "error"] = "drop"
    """what to do about sequences with letters that are none of the 20 amino acids (B Z X J U O *)"""
    max_length: int = 512
    """longer sequences are dropped"""
    max_gaps: float = 0.5
    """sequences with a larger fraction of gaps are dropped"""
    test: float = 0.1
    """fraction that is kept for tests"""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 0 <= self.test < 1 or self.max_length < 1:
            raise UsageError(
                f"test={self.test} and max_length={self.max_length}; expected a fraction below 1, and sites"
            )

    def path(self) -> Path:
        """The file."""
        if not self.file:
            raise UsageError("no file is named; give the path of a FASTA or A3M file as data.file")
        return Path(self.file).expanduser()

    def load(self) -> Sequences:
        """Read the file."""
        path = self.path()
        found = list(records(path))
        a3m = path.suffix.lower() == ".a3m"
        aligned = self.gaps == "class" and (a3m or any(GAP in text for _, _, text in found))
        if a3m and aligned:
            found = [(line, name, "".join(c for c in text if not c.islower())) for line, name, text in found]
        if aligned:
            first = len(found[0][2])
            for line, name, text in found:
                if len(text) != first:
                    raise DataError(
                        f"{path}, line {line}: sequence {name!r} has {len(text)} columns and the first one {first}; "
                        "rows of an alignment are of one length: mend the file or give gaps=remove"
                    )
        alphabet = AMINO + GAP if aligned else AMINO
        dropped, kept = Counter(), {}
        for line, name, text in found:
            text = text.upper() if aligned else text.upper().replace(GAP, "")
            why = self._why_not(path, line, name, text, alphabet)
            why = why or ("repeated" if text in kept else "")
            if why:
                dropped[why] += 1
            else:
                kept[text] = None
        if not kept:
            raise DataError(f"{path} holds no sequence that can be used ({dict(dropped)})")
        texts = list(kept)
        order = np.random.default_rng(0).permutation(len(texts))
        count = round(self.test * len(texts))
        width = max(map(len, texts))
        parts = [[texts[k] for k in part] for part in (order[count:], order[:count])]
        if not parts[0]:
            raise DataError(f"{path} leaves no sequence to train on; lower test={self.test}")
        (train, test), lengths = (
            (encode(p, alphabet, width) for p in parts),
            [np.array([*map(len, p)], int) for p in parts],
        )
        return Sequences(alphabet, train, lengths[0], test, lengths[1], path.name, dict(dropped.most_common()))

    def _why_not(self, path: Path, line: int, name: str, text: str, alphabet: str) -> str:
        """Why this sequence is dropped, or ""."""
        strange = set(text) - set(alphabet)
        if strange - set(ODD):
            letter = sorted(strange - set(ODD))[0]
            raise DataError(f"{path}, line {line}: sequence {name!r} has the letter {letter!r}, which is no amino acid")
        if strange and self.odd == "error":
            letters = " ".join(sorted(strange))
            raise DataError(f"{path}, line {line}: sequence {name!r} has {letters}; mend the file or give odd=drop")
        if not text.replace(GAP, ""):
            return "empty"
        if strange:
            return "letters beside the 20 amino acids"
        if len(text) > self.max_length:
            return f"longer than {self.max_length}"
        if text.count(GAP) > self.max_gaps * len(text):
            return f"more than {self.max_gaps:g} gaps"
        return ""


def records(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line of its header, name, letters with "-" for gaps) of a FASTA or A3M file; A3M keeps lower case."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected a FASTA (.fasta, .fa, .faa) or A3M file (.a3m)")
    at, name, parts, count = 0, "", [], 0
    with open(path, encoding="utf-8") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.strip()
            if line.startswith(">"):
                if at:
                    yield at, name, "".join(parts)
                at, name, parts, count = number, (line[1:].split() or [str(number)])[0], [], count + 1
            elif line and not line.startswith((";", "#")):
                if not at:
                    raise DataError(
                        f"{path}, line {number}: {line[:20]!r} stands before the first header; expected '>'"
                    )
                parts.append(line.replace(".", GAP))
    if not count:
        raise DataError(f"{path} is empty; expected sequences with a header line that starts with '>'")
    yield at, name, "".join(parts)


@dataclass(frozen=True)
class SteroidIsomerase(Fasta):
    """The alignment of 1qjg, ketosteroid isomerase (published with EvoDiff, arXiv 2309.04175); see `Fasta`."""

    suggests: ClassVar[dict[str, Any]] = {"batch": 16, "steps": 1000, "samples": 300}

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded."""
        return fetch(
            "proteins/1qjg.a3m",
            "6452339f748a351a256b3a214e60133d4957920636c5884121e646f181dc3235",
            "https://raw.githubusercontent.com/microsoft/evodiff/main/examples/scaffolding-msas/1qjg.a3m",
        )
