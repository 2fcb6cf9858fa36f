"""What the data sets of molecules hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genkit_molecules.graphs import allowed, classes, pairs, sites
from genkit_molecules.models import Space
from genkit_molecules.rows import Rows


@dataclass(frozen=True)
class Molecules:
    """Molecules, by split and by number of atoms."""

    elements: tuple[str, ...]
    train: tuple[Rows, ...]
    test: tuple[Rows, ...]
    train_smiles: tuple[str, ...]
    """canonical, of the molecules in `train`, in their order"""
    test_smiles: tuple[str, ...]
    source: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    """why molecules of the source are not here, and how many"""

    @property
    def classes(self) -> int:
        """K, the mask symbol."""
        return classes(len(self.elements))

    @property
    def sizes(self) -> dict[int, int]:
        """Training molecules of each number of atoms."""
        return {g.n: len(g.x) for g in self.train}

    def padded(self, split: Sequence[Rows]) -> dict[str, np.ndarray]:
        """Rows of one width, in the order of the split: x (M, D), and which atoms are real, mask (M, n) bool."""
        n = max(g.n for g in (*self.train, *self.test))
        place = {tuple(pair): n + k for k, pair in enumerate(pairs(n).tolist())}
        rows, masks = [], []
        for g in split:
            x = np.zeros((len(g.x), sites(n)), np.uint8)
            x[:, [*range(g.n), *(place[tuple(pair)] for pair in pairs(g.n).tolist())]] = g.x
            rows.append(x)
            masks.append(np.broadcast_to(np.arange(n) < g.n, (len(g.x), n)))
        return {"x": np.concatenate(rows), "mask": np.concatenate(masks)}

    def space(self, n: int) -> Space:
        """The sites of graphs of n atoms, with the frequencies of elements and bonds in the training set."""
        d, k = sites(n), self.classes
        weights = np.zeros((d, k))
        weights[:n] = sum(np.bincount(g.x[:, : g.n].ravel(), minlength=k) for g in self.train)
        weights[n:] = sum(np.bincount(g.x[:, g.n :].ravel(), minlength=k) for g in self.train)
        legal = allowed(n, len(self.elements))
        weights = np.where(
            True if legal is None else legal, weights / np.maximum(weights.sum(1, keepdims=True), 1) + 1e-6, 0
        )
        return Space(k, weights / weights.sum(1, keepdims=True), legal)
