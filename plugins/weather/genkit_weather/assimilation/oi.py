"""Optimal interpolation: the analysis of a Gaussian background, as in 3D-Var and the Kalman filter."""

import numpy as np


def gain(ph: np.ndarray, hph: np.ndarray, error: np.ndarray) -> np.ndarray:
    """K = P H^T (H P H^T + R)^-1, (d, m), of R = diag(error^2).

    Args:
        ph: P H^T (d, m), covariances of the state with what is observed.
        hph: H P H^T (m, m).
        error: standard deviations (m,); infinity where there is no observation, whose column is 0.
    """
    over = 1 / error
    system = over[:, None] * hph * over + np.eye(len(error))
    return np.linalg.solve(system, (ph * over).T).T * over


def interpolate(
    background: np.ndarray, departure: np.ndarray, ph: np.ndarray, hph: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Analyses (..., d) of backgrounds with departures y - H x (..., m), and the variance (d,) that was explained."""
    k = gain(ph, hph, error)
    return background + departure @ k.T, (k * ph).sum(1)
