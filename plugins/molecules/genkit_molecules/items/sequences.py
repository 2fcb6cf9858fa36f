"""Protein sequences: rows of amino acids, and what the data sets of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from genkit_molecules.items.layout import Letters
from genkit_molecules.items.notes import Notes
from genkit_molecules.items.rows import Rows, Told

ODD = "BZXJUO*"  # what files may also hold: ambiguous, unknown and rare amino acids, stops

# Amino acids of the test set of UniRef50, in the order of AMINO (counts published with EvoDiff, arXiv 2309.04175).
UNIREF50 = np.array([
    1618915, 260650, 1029002, 1153341, 740211, 1298777, 415510, 1043277, 959135, 1812595,
    410047, 778128, 944355, 723490, 1118546, 1397024, 1075117, 1225428, 248100, 558281,
])  # fmt: skip


@dataclass(frozen=True)
class Sequences:
    """Rows of classes (M, L) uint8, the places in an alphabet; sites past the length of a sequence are 0."""

    alphabet: str
    train: np.ndarray
    train_lengths: np.ndarray
    """(M,) int"""
    test: np.ndarray
    test_lengths: np.ndarray
    source: str = ""
    notes: Notes = field(default_factory=Notes)
    """what of the source is not here, or not as it stood there"""
    oracle: Any = None
    """of a law that is known: the exact denoiser, with log_prob(x)"""

    told: Told | None = None
    """what a generator is told of them"""

    @cached_property
    def layout(self) -> Letters:
        """What a trained model knows of them."""
        k, rows = len(self.alphabet), self.rows("train")
        sizes, counts = np.unique(self.train_lengths, return_counts=True)
        return Letters(self.alphabet, self.length, sizes, counts, np.bincount(rows["x"][rows["mask"]], minlength=k))

    @property
    def length(self) -> int:
        """L, sites of a row."""
        return self.train.shape[1]

    @property
    def groups(self) -> list[Rows]:
        """The training sequences by length."""
        lengths = self.train_lengths
        return [Rows(int(n), self.train[lengths == n, :n]) for n in np.unique(lengths)]

    def padded(self, groups: Sequence[Rows]) -> dict[str, np.ndarray]:
        """x (M, L) and mask (M, L) bool of sequences by length, in this order."""
        x = np.concatenate([np.pad(g.x, ((0, 0), (0, self.length - g.n))) for g in groups])
        return {"x": x, "mask": real(np.repeat([g.n for g in groups], [len(g.x) for g in groups]), self.length)}

    def rows(self, split: str) -> dict[str, np.ndarray]:
        """x (M, L) and mask (M, L) bool, the sites that are real, of "train" or "test", and what is told of them."""
        x, lengths = getattr(self, split), getattr(self, f"{split}_lengths")
        told = {} if self.told is None else {"yes": getattr(self.told, split)}
        return {"x": x, "mask": real(lengths, self.length)} | told

    def texts(self, split: str) -> list[str]:
        """Their letters."""
        letters = np.array(list(self.alphabet))[getattr(self, split).astype(int)]
        return ["".join(row[:n]) for row, n in zip(letters, getattr(self, f"{split}_lengths"), strict=True)]

    def __str__(self) -> str:
        return f"{self.source}: {len(self.train)} sequences to train, {len(self.test)} to test, {self.length} sites"


def real(lengths: np.ndarray, width: int) -> np.ndarray:
    """(M, L) bool, the sites of sequences of these lengths."""
    return np.arange(width) < np.asarray(lengths)[:, None]


def encode(letters: Sequence[str], alphabet: str, width: int) -> np.ndarray:
    """Rows (M, L) uint8 of texts."""
    place = {letter: k for k, letter in enumerate(alphabet)}
    x = np.zeros((len(letters), width), np.uint8)
    for row, text in zip(x, letters, strict=True):
        row[: len(text)] = [place[letter] for letter in text]
    return x


def fasta(letters: Sequence[str], first: int = 0) -> str:
    """Sequences, numbered from `first`, as the text of a FASTA file, 80 letters a line."""
    lines = []
    for k, text in enumerate(letters, first):
        lines += [f">sample_{k}", *(text[i : i + 80] for i in range(0, len(text), 80))]
    return "".join(f"{line}\n" for line in lines)
