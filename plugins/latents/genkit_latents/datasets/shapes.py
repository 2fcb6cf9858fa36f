"""Generated surfaces and curves with a known geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.errors import UsageError
from genkit_latents.data import Points, check, graph_distances, split

TURNS = 1.5 * np.pi, 4.5 * np.pi  # of the swiss roll


@dataclass(frozen=True)
class Shape:
    """Points on a curve or a surface.

    half_circle: an arc in the plane; moons: two of them, lifted and with two dimensions of noise; hole: the square
    (z1, z2, sin(2 pi z1) / 4) without a disc of radius 0.2; swiss_roll: a rolled rectangle, whose true distances are
    those of the rectangle.
    """

    kind: Literal["half_circle", "moons", "hole", "swiss_roll"] = "hole"
    """which"""
    points: int = 2000
    """number of points"""
    noise: float = 0.1
    """standard deviation; of the hole's height a quarter of it counts, of the swiss roll none"""
    seed: int = 0
    """of the points and the split"""

    def load(self) -> Points:
        """80 % for training."""
        if self.points < 10 or self.noise < 0:
            raise UsageError(f"shape: points={self.points}, noise={self.noise}; expected at least 10 and 0")
        rng = np.random.default_rng(self.seed)
        x, labels, flat = getattr(self, f"_{self.kind}")(rng)
        x = x.astype(np.float32)
        train, test = split(len(x), 0.2, self.seed)
        known = flat[test]
        if self.kind == "swiss_roll":
            between = np.linalg.norm(known[:, None] - known[None], axis=-1)
        else:
            between = graph_distances(known)
        return check(Points(x[train], x[test], "gaussian", self.kind, labels[train], labels[test], distances=between))

    def _half_circle(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t = rng.uniform(0, np.pi, self.points)
        x = np.stack([np.cos(t), np.sin(t)], 1) + self.noise * rng.standard_normal((self.points, 2))
        return x, (t > np.pi / 2).astype(int), x

    def _moons(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t, which = rng.uniform(0, np.pi, self.points), np.arange(self.points) % 2
        plane = np.where(which, [np.cos(t) + 1, 0.25 - np.sin(t)], [np.cos(t), np.sin(t)]).T
        plane = plane + self.noise * rng.standard_normal(plane.shape)
        plane -= plane.mean(0)
        lift = 0.5 * (np.sin(np.pi * plane[:, 0]) + self.noise * rng.standard_normal(self.points))
        extra = self.noise * rng.standard_normal((self.points, 2))
        return np.column_stack([plane, lift, extra]), which, plane

    def _hole(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = rng.uniform(-0.5, 0.5, (4 * self.points, 2))
        z = z[(z**2).sum(1) > 0.2**2][: self.points]
        height = 0.25 * (np.sin(2 * np.pi * z[:, 0]) + self.noise * rng.standard_normal(len(z)))
        quadrant = (z[:, 0] > 0).astype(int) + 2 * (z[:, 1] > 0)
        return np.column_stack([z, height]), quadrant, z

    def _swiss_roll(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        t, width = rng.uniform(*TURNS, self.points), rng.uniform(0, 21, self.points)
        arc = 0.5 * (t * np.sqrt(1 + t**2) + np.arcsinh(t))  # length of the Archimedean spiral r = t
        x = np.column_stack([t * np.cos(t), width, t * np.sin(t)]) / 10
        return x, np.digitize(t, np.linspace(*TURNS, 5)[1:-1]), np.column_stack([arc, width]) / 10
