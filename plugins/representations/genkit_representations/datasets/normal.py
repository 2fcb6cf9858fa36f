"""Features whose density is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from genkit.errors import UsageError
from genkit_representations.data import Split, Splits


@dataclass(frozen=True)
class Normal:
    """Normal features in 8 dimensions with variances 1/4 to 4, or a mixture of three normals in the plane.

    Unknown data are the same, moved by one standard deviation in each direction, and of a quarter of the variance about
    the mean.
    """

    kind: Literal["diagonal", "mixture"] = "diagonal"
    """which"""
    points: int = 5000
    """training features"""
    test: int = 1000
    """fresh features to test on, and of each unknown set"""
    seed: int = 0
    """of the draws"""

    def load(self) -> Splits:
        """Drawn."""
        if min(self.points, self.test) < 2:
            raise UsageError(f"points={self.points}, test={self.test}; expected at least 2")
        rng = np.random.default_rng(self.seed)
        train, test, more = (self._draw(rng, n) for n in (self.points, self.test, self.test))
        mean, std = train.mean(0), train.std(0)
        found = {"moved": more + std, "narrow": mean + (more - mean) / 2}
        unknown = {name: x.astype(np.float32) for name, x in found.items()}
        split = Split(train.astype(np.float32), test.astype(np.float32), unknown)
        return Splits((split,))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Exact log density (n,) of x (n, d), nats."""
        parts = [np.log(w) + multivariate_normal.logpdf(x, m, s) for w, m, s in self._parts()]  # type: ignore[arg-type]
        return np.asarray(logsumexp(parts, axis=0))

    def _parts(self) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Weight, mean and covariance of the components."""
        if self.kind == "diagonal":
            return [(1.0, np.zeros(8), np.diag(np.geomspace(0.25, 4, 8)))]
        turned = np.array([[1.0, 0.6], [0.6, 0.7]])
        return [(0.5, np.array([-2.0, 0]), 0.5 * np.eye(2)), (0.3, np.array([2.0, 1.0]), turned),
                (0.2, np.array([1.0, -2.5]), 0.3 * np.eye(2))]  # fmt: skip

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        parts = self._parts()
        which = rng.choice(len(parts), n, p=[w for w, _, _ in parts])
        noise = rng.standard_normal((n, len(parts[0][1])))
        factors = np.stack([np.linalg.cholesky(s) for _, _, s in parts])
        return np.stack([m for _, m, _ in parts])[which] + np.einsum("nij,nj->ni", factors[which], noise)
