"""Targets of data: regression of the sonar and the ionosphere sets, pines as a Cox process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import fetch, local
from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_inverse.datasets import Pines
from genkit_inverse.targets.density import Density, Normal

Array = jax.Array
SAMPLERS = "https://github.com/DenisBless/variational_sampling_methods/raw/main/targets/data"
PARTICLES = "https://github.com/nchopin/particles/raw/master/particles/datasets"


@register_dataclass
@dataclass(frozen=True, eq=False)
class Regression(Density):
    """Logistic regression: theta ~ N(0, I), y_i ~ Bernoulli(sigmoid(x_i theta)). The base is the prior."""

    x: Any
    """(rows, d)"""
    y: Any
    """(rows,) 0 or 1"""
    log_z: float | None = field(default=None, metadata={"static": True})

    @property
    def dim(self) -> int:
        """d."""
        return self.x.shape[1]

    def __call__(self, theta: Array) -> Array:
        """log prior + log likelihood of theta (d,)."""
        logits = self.x @ theta
        log_lik = jnp.sum(self.y * logits - jax.nn.softplus(logits))
        return log_lik - 0.5 * jnp.sum(theta**2) - 0.5 * self.dim * jnp.log(2 * jnp.pi)


def design(columns: np.ndarray) -> np.ndarray:
    """A column of ones and the columns (rows, d) with mean 0 and standard deviation 1; constant ones become 0."""
    columns = columns.astype(np.float64)
    sd = columns.std(0)
    columns = (columns - columns.mean(0)) / np.where(sd == 0, 1, sd)
    return np.concatenate([np.ones((len(columns), 1)), columns], 1).astype(np.float32)


@dataclass(frozen=True)
class Sonar:
    """Logistic regression of the sonar set, 208 rows, d = 61."""

    FILE: ClassVar[tuple[str, str, str]] = (
        "smc/sonar.all-data",
        "e90434cdbf00fcf93ffa911fe447ae25606979658e60f1d32e155c3b5240234d",
        f"{PARTICLES}/sonar.all-data",
    )

    def path(self) -> Path | None:
        """The file, where it is on this machine."""
        return local(*self.FILE[:2])

    def load(self) -> Regression:
        """Mines are 1. log Z is that of long runs of tempering, of 4 with s.d. .094."""
        rows = [line.split(",") for line in fetch(*self.FILE).read_text().split()]
        x = np.array([row[:-1] for row in rows], np.float64)
        return Regression(design(x), np.array([row[-1] == "M" for row in rows], np.float32), -108.46)


@dataclass(frozen=True)
class Ionosphere:
    """Logistic regression of the ionosphere set, 351 rows, d = 35."""

    FILE: ClassVar[tuple[str, str, str]] = (
        "smc/ionosphere.npz",
        "372480bf0151eca816bcdda0eca37a17ccf5c4f3d01cc5b9d55ac88a53491c2c",
        f"{SAMPLERS}/ionosphere.npz",
    )

    def path(self) -> Path | None:
        """The file, where it is on this machine."""
        return local(*self.FILE[:2])

    def load(self) -> Regression:
        """Good returns are 1. log Z is that of the published runs of SMC and DDS (arXiv 2302.13834)."""
        with np.load(fetch(*self.FILE)) as arrays:
            return Regression(design(arrays["x"]), (arrays["y"] > 0).astype(np.float32), -111.6)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Cox(Density):
    """Counts of a Poisson process whose log intensity is normal. The base is that normal."""

    counts: Any
    """(d,) points in each cell"""
    prior: Normal
    area: float = field(metadata={"static": True})
    """of a cell"""
    log_z: float | None = field(default=None, metadata={"static": True})

    @property
    def dim(self) -> int:
        """d."""
        return self.counts.shape[0]

    @property
    def base(self) -> Normal:
        """The prior."""
        return self.prior

    def __call__(self, f: Array) -> Array:
        """log prior + log likelihood of f (d,), without the term of the factorials."""
        return self.prior.log_prob(f) + jnp.sum(f * self.counts - self.area * jnp.exp(f))


@dataclass(frozen=True)
class LGCP:
    """A log-Gaussian Cox process of 126 Finnish pines on a grid of the unit square."""

    size: int = 40
    """Cells M of a side; d = M^2."""

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < 1:
            raise UsageError(f"size={self.size} is too few; expected at least 1")

    def path(self) -> Path | None:
        """The file, where it is on this machine."""
        return Pines().path()

    def load(self) -> Cox:
        """Counts and prior. log Z of M = 40 is the largest of the published runs (PIS, in arXiv 2302.13834)."""
        m = self.size
        cell = np.minimum((Pines().load() * m).astype(int), m - 1)
        counts = np.bincount(cell[:, 0] * m + cell[:, 1], minlength=m * m)
        places = np.stack(np.meshgrid(np.arange(m), np.arange(m), indexing="ij"), -1).reshape(-1, 2)
        distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
        root = np.linalg.cholesky(1.91 * np.exp(-distance / (m / 33)))
        prior = Normal(np.full(m * m, np.log(126) - 1.91 / 2, np.float32), root.astype(np.float32))
        return Cox(counts.astype(np.float32), prior, 1 / m**2, 506.3 if m == 40 else None)
