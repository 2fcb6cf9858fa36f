"""What the data sets of molecules hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genkit_molecules.graphs import allowed, classes


@dataclass(frozen=True)
class Graphs:
    """Molecular graphs of one size: rows x (M, D) uint8, see `genkit_molecules.graphs`."""

    n: int
    x: np.ndarray


@dataclass(frozen=True)
class Molecules:
    """Molecules, by split and by number of atoms."""

    elements: tuple[str, ...]
    train: tuple[Graphs, ...]
    test: tuple[Graphs, ...]
    train_smiles: tuple[str, ...]
    """canonical, of the molecules in `train`, in their order"""
    test_smiles: tuple[str, ...]
    source: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    """why molecules of the source are not here, and how many"""
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    """numbers of the training molecules, each (M,)"""

    @property
    def classes(self) -> int:
        """K, the mask symbol."""
        return classes(len(self.elements))

    @property
    def sizes(self) -> dict[int, int]:
        """Training molecules of each number of atoms."""
        return {g.n: len(g.x) for g in self.train}

    def allowed(self, n: int) -> Any:
        """Classes of each site, see `genkit_molecules.graphs.allowed`."""
        return allowed(n, len(self.elements))
