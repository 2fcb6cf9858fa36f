"""Static covariances of a background's error, by principal components, shrunk and localised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import eigh

from genkit.tree import register_dataclass
from genkit_weather.assimilation.observed import Observed
from genkit_weather.assimilation.oi import interpolate
from genkit_weather.assimilation.taper import distances, taper

COMPONENTS = 400
PASSES = 10  # of a nonlinear operator: half of each Gauss-Newton step is taken, since full ones may swing


@dataclass(frozen=True)
class Shape:
    """How a sample covariance is used; all three are tuned on the validation split."""

    length: float = 8.0
    """cells over which it is kept; infinity keeps all"""
    shrink: float = 0.02
    """share by which correlations between different places are lowered"""
    scale: float = 1.0
    """factor on the variance"""


@register_dataclass
@dataclass(frozen=True)
class Covariance:
    """P = B^T B of errors (h, w, V) in standardised units; products with it need r d numbers, never d x d."""

    factor: Any
    """B (r, d), float32, of d = h w V numbers"""
    shape: tuple[int, int, int] = field(metadata={"static": True})

    @classmethod
    def fit(cls, errors: np.ndarray, components: int = COMPONENTS) -> Covariance:
        """The leading components of errors (n, h, w, V) around zero, scaled so that the variances are kept."""
        rows = errors.reshape(len(errors), -1).astype(np.float32)
        n, d = rows.shape
        small = (rows @ rows.T if n < d else rows.T @ rows).astype(np.float64) / n
        count = min(components, len(small))
        values, vectors = eigh(small, subset_by_index=[len(small) - count, len(small) - 1])
        keep = values > 1e-8 * max(values[-1], 1e-30)
        values, vectors = values[keep], vectors[:, keep]
        factor = vectors.T @ rows / np.sqrt(n) if n < d else np.sqrt(values)[:, None] * vectors.T
        variance, kept = (rows**2).mean(0), (factor**2).sum(0)
        factor = factor * np.sqrt(variance / np.maximum(kept, 1e-30))
        h, w, v = errors.shape[1:]
        return cls(factor.astype(np.float32), (h, w, v))

    @property
    def variance(self) -> np.ndarray:
        """(d,) of the numbers of a state."""
        return (np.asarray(self.factor) ** 2).sum(0)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Errors (count, h, w, V) of N(0, B^T B): without localisation."""
        z = rng.standard_normal((count, len(self.factor)), np.float32)
        return (z @ np.asarray(self.factor)).reshape(count, *self.shape)

    def products(self, observed: Observed, slopes: np.ndarray, how: Shape) -> tuple[np.ndarray, np.ndarray]:
        """P H^T (d, m) and H P H^T (m, m) where H are the observations' rows at slopes (2, m).

        The taper is one function of the distance, of cells and stations alike, so that the whole stays positive.
        """
        seen = (slopes[:, None] * self._seen(observed)).sum(0).astype(np.float32)
        h, w, v = self.shape
        places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), -1).reshape(-1, 2)
        near = taper(distances(places, observed.place), how.length).astype(np.float32) * np.float32(1 - how.shrink)
        ph = (np.asarray(self.factor).T @ seen).reshape(h * w, v, -1) * near[:, None]
        return how.scale * ph.reshape(h * w * v, -1).astype(np.float64), (seen.T @ seen) * _between(observed, how)

    def _seen(self, observed: Observed) -> np.ndarray:
        """(2, r, m) the factor at the interpolated values."""
        factor = np.asarray(self.factor)
        seen = np.zeros((2, len(factor), observed.cells.shape[1]), np.float32)
        for one, cells, weights in zip(seen, observed.cells, observed.weights, strict=True):
            if weights.any():
                for corner in range(cells.shape[1]):  # (m, k, r) would be large
                    one += factor[:, cells[:, corner]] * weights[:, corner].astype(np.float32)
        return seen

    def analyse(
        self, background: np.ndarray, observed: Observed, how: Shape, noise: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Optimal interpolation of backgrounds (n, h, w, V): analyses, and the standard deviation (h, w, V) left.

        The gain is that of the mean background. A nonlinear operator is linearised there, and again at the analysis
        (Gauss-Newton steps to the most probable state).

        Only cells that stations lie between take part in these steps, which cost m^2 r whatever the size of a state.

        Args:
            background: states, standardised.
            observed: the observations.
            how: of the covariance.
            noise: (n, m) added to the observations, in units of their errors.
        """
        error, there = observed.errors, observed.there
        y = np.where(there, observed.y + noise * np.where(there, error, 0.0), 0.0)
        values = observed.values(background)
        at = values.mean(1)
        if observed.kind.any():
            at = self._nearest(at, np.atleast_2d(y).mean(0), observed, how)
        slopes = observed.slopes(at)
        ph, hph = self.products(observed, slopes, how)
        # y - h(at) - H (background - at), with h itself where it is linear
        departure = y - observed.predict_of(at) - (slopes[:, None] * (values - at[:, None])).sum(0)
        flat = background.reshape(len(background), -1)
        analysis, explained = interpolate(flat, np.where(there, departure, 0.0), ph, hph, error)
        left = np.sqrt(np.maximum(how.scale * self.variance - explained, 0)).reshape(self.shape)
        return analysis.reshape(background.shape), left

    def _nearest(self, first: np.ndarray, y: np.ndarray, observed: Observed, how: Shape) -> np.ndarray:
        """(2, m) interpolated values of the most probable state, from those of the background."""
        seen, between, over, at = self._seen(observed), _between(observed, how), 1 / observed.errors, first
        cells, corner = np.unique(observed.cells, return_inverse=True)
        corner, factor = corner.reshape(observed.cells.shape), np.asarray(self.factor)[:, cells]
        rows = np.stack(np.unravel_index(cells // self.shape[2], self.shape[:2]), -1)
        near = how.scale * (1 - how.shrink) * taper(distances(rows, observed.place), how.length)
        for _ in range(PASSES - 1):
            slopes = observed.slopes(at)
            own = (slopes[:, None] * seen).sum(0)
            departure = np.where(observed.there, y - observed.predict_of(at) - (slopes * (first - at)).sum(0), 0.0)
            gain = over[:, None] * (own.T @ own * between) * over + np.eye(len(over))
            moved = (factor.T @ own * near) @ (np.linalg.solve(gain, departure * over) * over)
            at = (at + first + (moved[corner] * observed.weights).sum(-1)) / 2
        return at


def _between(observed: Observed, how: Shape) -> np.ndarray:
    """(m, m) what covariances of stations are multiplied by."""
    apart = distances(observed.place, observed.place)
    return how.scale * taper(apart, how.length) * np.where(apart > 0, 1 - how.shrink, 1.0)
