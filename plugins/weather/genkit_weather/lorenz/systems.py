"""The equations of Lorenz 1963 and 1996."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class System(Protocol):
    """An autonomous system of ordinary differential equations."""

    @property
    def size(self) -> int:
        """Numbers of a state."""
        ...

    def tendency(self, x: np.ndarray) -> np.ndarray:
        """dx/dt of states (..., size)."""
        ...

    def begin(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """States (count, size) near the attractor."""
        ...


@dataclass(frozen=True)
class Lorenz63:
    """dx/dt = s (y - x), dy/dt = x (r - z) - y, dz/dt = x y - b z (Lorenz 1963)."""

    s: float = 10.0
    r: float = 28.0
    b: float = 8 / 3

    @property
    def size(self) -> int:
        """3."""
        return 3

    def tendency(self, x: np.ndarray) -> np.ndarray:
        """dx/dt of states (..., 3)."""
        a, b, c = np.moveaxis(x, -1, 0)
        return np.stack([self.s * (b - a), a * (self.r - c) - b, a * b - self.b * c], -1)

    def begin(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Around a point of the attractor."""
        return np.array([1.5, -1.5, 25.5]) + rng.standard_normal((count, 3))


@dataclass(frozen=True)
class Lorenz96:
    """dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + force on a ring (Lorenz 1996)."""

    size: int = 40
    force: float = 8.0

    def tendency(self, x: np.ndarray) -> np.ndarray:
        """dx/dt of states (..., size)."""
        ring = np.concatenate([x[..., -2:], x, x[..., :1]], -1)
        return (ring[..., 3:] - ring[..., :-3]) * ring[..., 1:-2] - x + self.force

    def begin(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Around the fixed point, which they leave."""
        return self.force + rng.standard_normal((count, self.size))


def rk4(tendency: Callable[[np.ndarray], np.ndarray], x: np.ndarray, dt: float) -> np.ndarray:
    """One step of the classical Runge-Kutta method."""
    a = tendency(x)
    b = tendency(x + dt / 2 * a)
    c = tendency(x + dt / 2 * b)
    return x + dt / 6 * (a + 2 * b + 2 * c + tendency(x + dt * c))
