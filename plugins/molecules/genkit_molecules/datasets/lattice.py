"""All molecules of a few atoms, where every law can be computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genkit.data import cached, location
from genkit.errors import UsageError
from genkit_molecules.chemistry import enumerate_graphs
from genkit_molecules.items import Molecules, Rows

VERSION = 1  # raise it when the same parameters give other molecules


@dataclass(frozen=True)
class Lattice:
    """Every connected molecule of n heavy atoms: bond orders 1 to 3, free valence filled by hydrogen, no charges.

    Molecules that differ in their Kekule form alone count once in the SMILES and apart among the graphs (from n = 6).
    """

    n: int = 3
    """heavy atoms, 1 to 6"""
    elements: tuple[str, ...] = ("C", "N", "O", "F")
    """at most four of C, N, O, F"""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 1 <= self.n <= 6:
            raise UsageError(f"lattice: n={self.n}; expected 1 to 6 heavy atoms")
        known = ("C", "N", "O", "F")
        if not self.elements or len(set(self.elements)) < len(self.elements) or set(self.elements) - set(known):
            raise UsageError(f"lattice: elements={' '.join(self.elements)}; expected different ones of C N O F")

    def path(self) -> Path:
        """The file of the enumeration."""
        return location("lattice.npz", self._params())

    def _params(self) -> dict[str, Any]:
        return {"n": self.n, "elements": self.elements, "version": VERSION}

    def graphs(self) -> np.ndarray:
        """One graph of each molecule, (M, D) uint8; enumerated on first use (seconds for n = 6), then cached."""

        def make(path: Path) -> None:
            np.savez(path, x=enumerate_graphs(self.n, self.elements))

        with np.load(cached("lattice.npz", self._params(), make)) as file:
            return file["x"]

    def load(self) -> Molecules:
        """All molecules as training data."""
        from genkit_molecules.chemistry import smiles_of

        x = self.graphs()
        smiles = tuple(s for s in smiles_of(x, self.elements) if s is not None)
        return Molecules(self.elements, (Rows(self.n, x),), (), smiles, (), f"lattice of {self.n} atoms")
