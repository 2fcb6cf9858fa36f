"""Counts on a lattice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import DataError, UsageError
from genkit.smc import LatentGaussian
from genkit_inverse.datasets.pines import Pines
from genkit_inverse.graphs.files import integers

Array = jax.Array


@dataclass(frozen=True)
class CARPoisson:
    """y_i ~ Poisson(exp(x_i)), x ~ N(0, Q^-1), Q = tau (D - rho W) of a lattice: conditional autoregression.

    W joins neighbours, D counts them (Besag 1974).
    """

    shape: tuple[int, int] = (8, 8)
    """Rows and columns."""
    tau: float = 1.0
    """Precision."""
    rho: float = 0.9
    """Dependence on the neighbours, |rho| < 1."""
    counts: Path | None = None
    """File of the counts, a row of numbers a row of cells; `pines` counts Finnish pines. Drawn if there is none."""
    seed: int = 0
    """Of what is drawn."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.shape) < 1 or np.prod(self.shape) < 2:
            raise UsageError(f"shape={self.shape}; expected rows and columns, at least two cells")
        if not 0 < self.tau < np.inf or not abs(self.rho) < 1:
            raise UsageError(
                f"tau={self.tau}, rho={self.rho}; expected tau above 0 and |rho| < 1, else Q is not positive"
            )

    def precision(self) -> np.ndarray:
        """Q, (cells, cells)."""
        i, j = np.indices(self.shape).reshape(2, -1)
        w = (np.abs(i[:, None] - i) + np.abs(j[:, None] - j) == 1).astype(float)
        return self.tau * (np.diag(w.sum(1)) - self.rho * w)

    def load(self) -> LatentGaussian:
        """The latent field and its counts, cells in rows."""
        q = self.precision()
        if self.counts is None:
            rng = np.random.default_rng(self.seed)
            x = np.linalg.solve(np.linalg.cholesky(q).T, rng.normal(size=len(q)))
            y = rng.poisson(np.exp(x))
        elif str(self.counts) == "pines":
            edges = [np.linspace(0, 1, side + 1) for side in self.shape]
            y = np.histogram2d(*Pines().load().T, bins=edges)[0].ravel()
        else:
            y = integers(self.counts)
            if y.shape != self.shape:
                raise DataError(f"{self.counts}: has the shape {y.shape}, expected {self.shape}; set --model.shape")
            y = y.ravel()
        return LatentGaussian(q, log_poisson, y.astype(np.float64))


def log_poisson(x: Array, y: Array) -> Array:
    """log Poisson(y; exp(x))."""
    return y * x - jnp.exp(x) - jax.scipy.special.gammaln(y + 1.0)
