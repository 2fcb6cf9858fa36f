"""Items of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Graphs of n atoms, see `genkit_molecules.graphs`, or sequences of n letters: rows x (M, D) uint8 of sites."""

    n: int
    x: np.ndarray
