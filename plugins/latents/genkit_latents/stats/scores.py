"""How well one set of distances agrees with another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from genkit.errors import UsageError


class Distortion(NamedTuple):
    """Latent against true distances, up to one common scale."""

    mean: float
    """mean |rho / mean(rho) - 1|, rho = latent / true"""
    worst: float
    """largest rho over smallest: 1 for a scaled isometry"""
    pearson: float
    spearman: float


def distortion(latent: np.ndarray, true: np.ndarray) -> Distortion:
    """Distortion of pairs: matrices (n, n), of which the upper triangle counts, or vectors; pairs at 0 are out."""
    if latent.shape != true.shape:
        raise UsageError(f"distances of shapes {latent.shape} and {true.shape}; expected equal ones")
    if latent.ndim == 2:
        upper = np.triu_indices(len(latent), 1)
        latent, true = latent[upper], true[upper]
    apart = true > 0
    latent, true = latent[apart], true[apart]
    from scipy.stats import spearmanr

    rho = latent / true
    worst = rho.max() / rho.min() if rho.min() > 0 else np.inf
    return Distortion(
        float(np.abs(rho / rho.mean() - 1).mean()),
        float(worst),
        float(np.corrcoef(latent, true)[0, 1]),
        float(np.asarray(spearmanr(latent, true))[0]),
    )


def gromov_delta(d: np.ndarray, base: int = 0) -> float:
    """Gromov's delta of a distance matrix (n, n) for one base point, relative to the diameter: 0 for a tree.

    2 delta / diameter is at most 1; for all base points delta is at most twice as large (Fournier et al. 2015).
    """
    product = 0.5 * (d[base][:, None] + d[base][None] - d)
    best = np.max(np.stack([np.minimum(product[:, k, None], product[None, k]) for k in range(len(d))]), 0)
    return float(2 * (best - product).max() / d.max())
