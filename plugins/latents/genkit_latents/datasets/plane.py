"""Densities of the plane that a learned prior should find: eight Gaussians, two spirals, a checkerboard, rings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.errors import UsageError
from genkit_latents.data import Points, check

BOX = {"gaussians8": 2.0, "spiral": 4.0, "checkerboard": 4.0, "rings": 4.0}  # half the side of the square they lie in


@dataclass(frozen=True)
class Plane:
    """Points of a density of the plane, as Athanasiadis et al. 2025 (arXiv 2408.13805) draw them."""

    kind: Literal["gaussians8", "spiral", "checkerboard", "rings"] = "gaussians8"
    """which"""
    points: int = 50_000
    """number of points for training; a tenth as many more are for testing"""
    seed: int = 0
    """of the points"""

    def load(self) -> Points:
        """Fresh draws."""
        if self.points < 10:
            raise UsageError(f"plane: points={self.points}; expected at least 10")
        x = plane(self.kind, np.random.default_rng(self.seed), self.points + self.points // 10).astype(np.float32)
        return check(Points(x[: self.points], x[self.points :], "normal", self.kind))


def plane(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """n points (n, 2) of a density."""
    if kind == "gaussians8":
        angle = rng.integers(8, size=n) * np.pi / 4
        return (2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.02 * rng.standard_normal((n, 2))) / 1.414
    if kind == "spiral":
        t, arm = np.sqrt(rng.uniform(size=n)) * np.radians(540), np.where(rng.uniform(size=n) < 0.5, -1, 1)
        x = np.stack([-np.cos(t) * t, np.sin(t) * t], 1) + 0.5 * rng.uniform(size=(n, 2))
        return arm[:, None] * x / 3 + 0.1 * rng.standard_normal((n, 2))
    if kind == "checkerboard":
        across = rng.uniform(-2, 2, n)
        up = rng.uniform(size=n) - 2 * rng.integers(2, size=n) + np.floor(across) % 2
        return 2 * np.stack([across, up], 1)
    angle, radius = rng.uniform(0, 2 * np.pi, n), 3 * np.array([1, 0.75, 0.5, 0.25])[rng.permutation(n) % 4]
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.08 * rng.standard_normal((n, 2))
