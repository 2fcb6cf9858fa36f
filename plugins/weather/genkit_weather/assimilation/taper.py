"""Localisation: how much of a covariance is kept at a distance."""

import numpy as np


def distances(a: np.ndarray, b: np.ndarray, period: tuple[float, ...] = ()) -> np.ndarray:
    """(n, m) Euclidean distances of places (n, k) and (m, k); round a ring where axes have a period (0 for none)."""
    apart = np.abs(a[:, None] - b[None])
    for axis, size in enumerate(period):
        if size:
            apart[..., axis] = np.minimum(apart[..., axis], size - apart[..., axis])
    return np.sqrt((apart**2).sum(-1))


def taper(distance: np.ndarray, length: float) -> np.ndarray:
    """exp(-(distance / length)^2 / 2): positive definite; infinity keeps all."""
    return np.exp(-0.5 * (distance / length) ** 2)
