"""Items of one size, and what is said of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

AMINO = "ACDEFGHIKLMNPQRSTVWY"
GAP = "-"
NO, YES, NULL = np.eye(3, dtype=np.float32)  # what a generator is told of a property


@dataclass(frozen=True)
class Rows:
    """Graphs of n atoms (`genkit_molecules.chemistry.graphs`) or sequences of n letters: rows x (M, D) uint8."""

    n: int
    x: np.ndarray


@dataclass(frozen=True)
class Told:
    """Whether items have a property that a generator is told, or how probably."""

    train: np.ndarray
    """(M,) bool, or float"""
    test: np.ndarray
    dropout: float
    """how often it is not told in training"""


def some(items: Any, count: int) -> Any:
    """At most so many, in random order, the same ones of all that are as long: data may be sorted, by size say."""
    chosen = np.random.default_rng(0).permutation(len(items))[:count]
    return items[chosen] if isinstance(items, np.ndarray) else [items[i] for i in chosen]
