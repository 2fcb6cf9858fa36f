"""Spins and states on a square lattice, with random fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import SIGNED
from genkit.smc import FactorGraph, Factors
from genkit.testing import ising_log_z


@dataclass(frozen=True)
class Lattice:
    """A square of cells with a coupling between neighbours."""

    size: int = 16
    """Cells of a side."""
    coupling: Annotated[float, SIGNED] = 0.4407
    """Strength between neighbours; .4407 is critical for Ising spins without a field."""
    field: float = 1.0
    """Fields are drawn from the uniform law on [-field, field]."""
    periodic: bool = False
    """Whether the sides are joined."""
    seed: int = 0
    """Of the fields."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.size < 2:
            raise UsageError(f"size={self.size} is too small; expected at least 2")
        if not np.isfinite(self.coupling) or not 0 <= self.field < np.inf:
            raise UsageError(f"coupling={self.coupling}, field={self.field}; expected finite numbers, field at least 0")

    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of neighbours; on a periodic lattice of 2 cells each comes twice."""
        site = np.arange(self.size**2).reshape(self.size, self.size)
        pairs: list[tuple[int, int]] = []
        for axis in (0, 1):
            here, after = site, np.roll(site, -1, axis)
            if not self.periodic:
                here, after = (np.delete(a, -1, axis) for a in (here, after))
            pairs += zip(here.ravel().tolist(), after.ravel().tolist(), strict=True)
        return tuple(pairs)

    def fields(self, *shape: int) -> np.ndarray:
        """(size, size, ...), the numbers of numpy's default generator."""
        return np.random.default_rng(self.seed).uniform(-self.field, self.field, (self.size, self.size, *shape))


@dataclass(frozen=True)
class Ising(Lattice):
    """Spins s = -1, +1: exp(coupling s_i s_j + h_i s_i), a field h_i a site."""

    def load(self) -> FactorGraph:
        """The graph, values 0 and 1."""
        s, edges = np.array([-1.0, 1.0]), self.edges()
        pair = np.tile(self.coupling * np.outer(s, s), (len(edges), 1, 1))
        return FactorGraph(self.fields().reshape(-1, 1) * s, (Factors(edges, pair),))

    def exact(self) -> float | None:
        """log Z: of a torus without fields by Kaufman's formula, else by elimination where it is narrow enough."""
        if self.periodic and self.field == 0 and self.coupling > 0:
            return ising_log_z(self.size, self.size, self.coupling)
        return self.load().exact()


@dataclass(frozen=True)
class Potts(Lattice):
    """States 0..states-1: exp(coupling [x_i = x_j] + h_i(x_i)), a field for each state of a site."""

    size: int = 8
    """Cells of a side."""
    coupling: Annotated[float, SIGNED] = 1.0
    """Strength between neighbours; log(1 + sqrt(states)) is critical without a field."""
    states: int = 3
    """Of a cell."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if self.states < 2:
            raise UsageError(f"states={self.states} is too few; expected at least 2")

    def load(self) -> FactorGraph:
        """The graph."""
        edges = self.edges()
        pair = np.tile(self.coupling * np.eye(self.states), (len(edges), 1, 1))
        return FactorGraph(self.fields(self.states).reshape(-1, self.states), (Factors(edges, pair),))
