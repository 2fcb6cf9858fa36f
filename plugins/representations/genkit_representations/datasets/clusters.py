"""Gaussian clusters whose sizes have a long tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_representations.data import Samples


@dataclass(frozen=True)
class Clusters:
    """Isotropic Gaussians around random points of a sphere; sizes follow Zipf's law, those of the test are equal."""

    clusters: int = 48
    """number of them"""
    dim: int = 24
    """numbers of a sample"""
    radius: float = 4.0
    """of the sphere"""
    noise: float = 0.6
    """standard deviation in each direction"""
    points: int = 8000
    """training samples"""
    exponent: float = 1.0
    """sizes fall as rank^-exponent; 0 makes them equal"""
    test: int = 20
    """test samples of each"""
    seed: int = 0
    """of centres and samples"""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return (self.dim,)

    def load(self) -> Samples:
        """Generated."""
        if min(self.clusters, self.dim, self.test) < 1 or self.points < self.clusters or self.noise <= 0:
            raise UsageError(f"{self}: expected positive sizes, noise > 0 and a point for every cluster")
        rng = np.random.default_rng(self.seed)
        centres = rng.standard_normal((self.clusters, self.dim))
        centres *= self.radius / np.linalg.norm(centres, axis=1, keepdims=True)
        weight = np.arange(1, self.clusters + 1.0) ** -self.exponent
        some = rng.choice(self.clusters, self.points - self.clusters, p=weight / weight.sum())
        labels = np.concatenate([np.arange(self.clusters), some])  # none is empty
        even = np.repeat(np.arange(self.clusters), self.test)

        def around(which: np.ndarray) -> np.ndarray:
            return (centres[which] + self.noise * rng.standard_normal((len(which), self.dim))).astype(np.float32)

        return Samples(around(labels), labels, around(even), even)
