"""The fitted map from features to what a density is learned on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.tree import register_dataclass


@register_dataclass
@dataclass(frozen=True)
class Preprocessing:
    """z = (x - mean) rotation / scale, fitted once and kept with the model: the same in training and in use."""

    mean: Any
    """(d,)"""
    rotation: Any
    """(d, k), orthonormal columns"""
    scale: Any
    """(k,)"""

    def __call__(self, x: Any) -> Any:
        """Features (n, d) as (n, k)."""
        return (x - self.mean) @ self.rotation / self.scale

    @property
    def square(self) -> bool:
        """Whether no dimension is dropped, so that a density of z is one of x."""
        return self.rotation.shape[0] == self.rotation.shape[1]

    def log_det(self) -> float:
        """log |det dz/dx|; raises UsageError where dimensions are dropped, as then x has no density."""
        if not self.square:
            d, k = self.rotation.shape
            raise UsageError(f'space="input" has no density: the principal components keep {k} of {d} dimensions; take '
                             'space="model", or keep all components')  # fmt: skip
        return -float(np.log(self.scale).sum())


def preprocess(
    x: np.ndarray, components: int | None = None, centred: bool = False, scaled: bool = True
) -> Preprocessing:
    """Fit principal components and a standardisation of each on features (n, d).

    Args:
        x: training features.
        components: leading ones that are kept; None keeps all.
        centred: eigenvectors of the covariance; without, of the second moment X^T X / n, as published with RDM.
        scaled: divide each component by its standard deviation.

    Raises DataError for columns without variance, named, and UsageError for more components than there are.
    """
    n, d = x.shape
    k = d if components is None else components
    if not 1 <= k <= d:
        raise UsageError(f"components={components} of features of {d} dimensions; expected 1 to {d}")
    x = x.astype(np.float64)
    mean = x.mean(0)
    moved = x - mean if centred else x
    _, vectors = np.linalg.eigh(moved.T @ moved / n)
    rotation = vectors[:, ::-1][:, :k]
    std = ((x - mean) @ rotation).std(0)
    if scaled and (std <= 1e-9 * max(std.max(), 1e-300)).any():
        constant = np.flatnonzero(np.ptp(x, 0) == 0)
        which = f"columns {constant.tolist()} are constant" if len(constant) else "some columns depend on others"
        raise DataError(
            f"the features vary in {(std > 1e-9 * std.max()).sum()} directions, {k} are wanted ({which}); give fewer "
            "components"
        )
    scale = std if scaled else np.ones(k)
    return Preprocessing(*(np.ascontiguousarray(a, np.float32) for a in (mean, rotation, scale)))
