"""Protein sequences of files (FASTA, A3M, Stockholm)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.data import fetch, own_file
from genkit.errors import DataError, UsageError
from genkit_molecules.items import AMINO, GAP, ODD, Notes, Sequences, encode, gathered

NUCLEOTIDES = "ACGTUN"
LEAST = 8  # letters of a file that tell nucleotides from proteins


@dataclass(frozen=True)
class Fasta:
    """Sequences of a file: FASTA (.fasta, .fa, .faa), or an alignment (.a3m, .a2m, .sto, or FASTA with gaps).

    Lower-case letters of A3M and A2M are insertions: in an alignment they are left out. A "*" at the end is a stop and
    left out. Each sequence counts once; rows of annotation are no sequences. What is dropped or changed is told by its
    reason and line.
    """

    file: str = ""
    """path of the file, packed with gzip or not"""
    gaps: Literal["class", "remove"] = "class"
    """a gap of an alignment is one class more, or sequences are taken without gaps and with their insertions"""
    odd: Literal["drop", "keep", "error"] = "drop"
    """what to do about sequences with letters beside the 20 amino acids; those that can be kept are B Z X J U O *,
    which join the alphabet"""
    insist: bool = False
    """take for proteins what looks like nucleotides, being A C G T U N almost alone"""
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
        return own_file(self.file, "a FASTA, A3M or Stockholm file")

    def load(self) -> Sequences:
        """Read the file."""
        from genkit_molecules.reading import inserting, records

        path = self.path()
        rows = records(path)
        dropped = [("annotation", one.line) for one in rows if one.annotation]
        found = [one for one in rows if not one.annotation]
        self._check_proteins(path, "".join(one.letters for one in found))
        aligned = self.gaps == "class" and (inserting(path) or any(GAP in one.letters for one in found))
        if aligned and inserting(path):
            found = [replace(one, letters="".join(c for c in one.letters if not c.islower())) for one in found]
        changed = [("a stop at the end left out", one.line) for one in found if one.letters.endswith("*")]
        stop = GAP if aligned else ""  # rows stay of one length
        found = [replace(one, letters=re.sub(r"\*$", stop, one.letters.upper())) for one in found]
        found = found if aligned else [replace(one, letters=one.letters.replace(GAP, "")) for one in found]
        if aligned:
            self._check_columns(path, found)
        kept: dict[str, int] = {}
        for one in found:
            why = self._why_not(path, one, AMINO + GAP * aligned) or ("repeated" if one.letters in kept else "")
            if why:
                dropped.append((why, one.line))
            else:
                kept[one.letters] = one.line
        notes = Notes(gathered(dropped), gathered((w, line) for w, line in changed if line in set(kept.values())))
        if not kept:
            reasons = "; ".join(line.removeprefix("dropped: ") for line in notes.lines())
            raise DataError(f"{path} holds no sequence that can be used: {reasons}")
        texts = list(kept)
        odd = [letter for letter in ODD if any(letter in text for text in texts)]
        alphabet = "".join((AMINO, *odd, GAP * aligned))
        order = np.random.default_rng(0).permutation(len(texts))
        count = round(self.test * len(texts))
        width = max(map(len, texts))
        parts = [[texts[k] for k in part] for part in (order[count:], order[:count])]
        if not parts[0]:
            raise DataError(f"{path} leaves no sequence to train on; lower test={self.test}")
        train, test = (encode(part, alphabet, width) for part in parts)
        lengths = [np.array([*map(len, part)], int) for part in parts]
        return Sequences(alphabet, train, lengths[0], test, lengths[1], path.name, notes)

    def _check_proteins(self, path: Path, letters: str) -> None:
        """Refuse nucleotides, whose letters are those of amino acids too."""
        counts = Counter(letters.upper().replace(GAP, "").replace("*", ""))
        total = counts.total()
        if not self.insist and total >= LEAST and sum(counts[c] for c in NUCLEOTIDES) > 0.9 * total:
            raise DataError(f"{path} looks like nucleotides, not proteins: its letters are {' '.join(sorted(counts))}; "
                            "translate it, or give insist=True")  # fmt: skip

    @staticmethod
    def _check_columns(path: Path, found: list[Any]) -> None:
        """Refuse rows of several lengths."""
        for one in found:
            if len(one.letters) != len(found[0].letters):
                raise DataError(
                    f"{path}, line {one.line}: sequence {one.name!r} has {len(one.letters)} columns and the first "
                    f"one {len(found[0].letters)}; an alignment has rows of one length: mend it or give gaps=remove"
                )

    def _why_not(self, path: Path, one: Any, alphabet: str) -> str:
        """Why this sequence is dropped, or ""."""
        text, strange = one.letters, set(one.letters) - set(alphabet)
        if strange and self.odd == "error":
            letters = " ".join(sorted(strange))
            raise DataError(
                f"{path}, line {one.line}: sequence {one.name!r} has {letters}; mend the file or give odd=drop"
            )
        if not text.replace(GAP, ""):
            return "empty"
        if other := sorted(strange - set(ODD)):
            return f"{other[0]!r}, which is no amino acid"
        if strange and self.odd == "drop":
            return "letters beside the 20 amino acids"
        if len(text) > self.max_length:
            return f"longer than {self.max_length}"
        if text.count(GAP) > self.max_gaps * len(text):
            return f"more than {self.max_gaps:g} gaps"
        return ""


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
