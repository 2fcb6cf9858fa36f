"""The recipe of a mixture of locally adaptive normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.model import Recipe
from genkit_latents.data import Points
from genkit_latents.geometry import LocalDiagonalPCA, Numeric
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.stats import LandFit, fit_land


@dataclass(frozen=True, kw_only=True)
class LandMixture(Recipe):
    """Normal distributions along geodesics of a metric from the data (Arvanitidis et al. 2016, arXiv 1606.02518)."""

    fixed: ClassVar[tuple[str, ...]] = ("components", "scale", "rho", "iterations", "samples", "segments")

    components: int = 1
    """Size of the mixture."""
    scale: float = 0.15
    """Width of the kernel of the metric."""
    rho: float = 1e-2
    """Its floor: far from the data G = I / rho."""
    iterations: int = 20
    """Of expectation maximisation."""
    samples: int = 64
    """Normals (and their opposites) for each normaliser."""
    segments: int = 12
    """Pieces of a geodesic."""

    @classmethod
    def preset(cls, name: str) -> LandMixture:
        """Presets tiny (CI), default (minutes), and paper (more of all)."""
        if name == "tiny":
            return cls(iterations=2, samples=8, segments=6)
        return cls(iterations=100, samples=500, segments=24) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.components < 1:
            raise UsageError(f"components={self.components}; expected numbers from 1")
        if self.iterations < 1 or self.samples < 1 or min(self.scale, self.rho) <= 0:
            raise UsageError("expected iterations and samples of at least 1, scale and rho above 0")
        if self.finetune:
            raise UsageError("a mixture of LANDs is fitted as a whole: finetune is not for it; fit it anew")

    def fit(self, run: Any, data: Points, start: LandFit | None = None) -> LandFit:
        """Fit the mixture to the training points."""
        metric = LocalDiagonalPCA(jnp.asarray(data.train), self.scale, self.rho)
        manifold = Numeric(metric, data.train.shape[1], Energy(self.segments, even=1.0, tolerance=1e-3))
        return fit_land(
            manifold, data.train, self.components, key=run.key("noise"), iterations=self.iterations,
            samples=self.samples,
        )  # fmt: skip
