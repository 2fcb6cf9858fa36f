"""What the data sets of molecules hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from genkit_molecules.chemistry import classes, places_in, sites
from genkit_molecules.items.layout import Graphs
from genkit_molecules.items.notes import Notes
from genkit_molecules.items.rows import Rows, Told


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
    notes: Notes = field(default_factory=Notes)
    """what of the source is not here, or not as it stood there"""
    told: Told | None = None
    """what a generator is told of them"""

    @cached_property
    def layout(self) -> Graphs:
        """What a trained model knows of them."""
        k = classes(len(self.elements))
        kinds = [sum(np.bincount(part.ravel(), minlength=k) for part in parts)
                 for parts in zip(*[(g.x[:, : g.n], g.x[:, g.n :]) for g in self.train], strict=True)]  # fmt: skip
        sizes, counts = ([g.n for g in self.train], [len(g.x) for g in self.train])
        return Graphs(self.elements, np.array(sizes), np.array(counts), np.array(kinds))

    @property
    def groups(self) -> tuple[Rows, ...]:
        """The training molecules by number of atoms."""
        return self.train

    def rows(self, split: str) -> dict[str, np.ndarray]:
        """All "train" or "test" molecules as rows of one width, and what is told of them."""
        told = {} if self.told is None else {"yes": getattr(self.told, split)}
        return self.padded(getattr(self, split)) | told

    def texts(self, split: str) -> tuple[str, ...]:
        """Their SMILES."""
        return getattr(self, f"{split}_smiles")

    def __str__(self) -> str:
        return f"{self.source}: {len(self.train_smiles)} molecules to train, {len(self.test_smiles)} to test"

    def padded(self, split: Sequence[Rows]) -> dict[str, np.ndarray]:
        """Rows of one width, in the order of the split: x (M, D), and which atoms are real, mask (M, n) bool."""
        n = max(g.n for g in (*self.train, *self.test))
        rows, masks = [], []
        for g in split:
            x = np.zeros((len(g.x), sites(n)), np.uint8)
            x[:, places_in(g.n, n)] = g.x
            rows.append(x)
            masks.append(np.broadcast_to(np.arange(n) < g.n, (len(g.x), n)))
        return {"x": np.concatenate(rows), "mask": np.concatenate(masks)}
