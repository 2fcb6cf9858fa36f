"""Frechet distance of Gaussians."""

from collections.abc import Callable
from typing import Any

import numpy as np


def frechet_distance(mean_x: Any, cov_x: Any, mean_y: Any, cov_y: Any) -> float:
    """|m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x^1/2 S_y S_x^1/2)^1/2): the squared 2-Wasserstein distance of two Gaussians.

    Of embeddings it is the FID (Heusel et al. 2017, arXiv 1706.08500). On the host in float64, by symmetric
    eigendecompositions whose negative eigenvalues count as 0, so that singular covariances are legal.

    Args:
        mean_x: (d,), also mean_y.
        cov_x: (d, d), also cov_y.
    """
    return frechet_to(mean_x, cov_x)(mean_y, cov_y)


def frechet_to(mean: Any, cov: Any) -> Callable[[Any, Any], float]:
    """`frechet_distance` to one Gaussian (d,), (d, d), as a function of the other, for many of these: its root is taken
    once."""
    mean, cov = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def distance(other: Any, own: Any) -> float:
        other, own = np.asarray(other, np.float64), np.asarray(own, np.float64)
        cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ own @ root), 0)).sum()
        return float(np.square(mean - other).sum() + np.trace(cov) + np.trace(own) - 2 * cross)

    return distance


def frechet_of_samples(x: Any, y: Any) -> float:
    """The distance of samples (n, d) and (m, d) by their means and covariances (divided by n - 1).

    Biased upwards for few samples: two sets of one law have a positive distance of the order of tr(S) / n, so compare
    with that of a fresh sample of the same size.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return frechet_distance(
        x.mean(0), np.cov(x.T).reshape(x.shape[1], -1), y.mean(0), np.cov(y.T).reshape(y.shape[1], -1)
    )
