"""The ensemble transform Kalman filter (Bishop, Etherton and Majumdar 2001; Hunt, Kostelich and Szunyogh 2007)."""

import numpy as np


def etkf(
    ensemble: np.ndarray, predicted: np.ndarray, y: np.ndarray, error: np.ndarray, inflation: float = 1.0
) -> np.ndarray:
    """Analysis (M, d): its mean and covariance are those of the Kalman filter with the ensemble's covariance.

    Deterministic: the members are the mean plus a symmetric transform of the departures from it.

    Args:
        ensemble: background (M, d).
        predicted: what would be observed of each member (M, m), of any operator.
        y: observations (m,).
        error: their standard deviations (m,); infinity where there is none.
        inflation: factor on the background's departures from the mean.
    """
    mean, centre = ensemble.mean(0), predicted.mean(0)
    s = inflation * (predicted - centre) / error
    return mean + weights(s @ s.T, s @ ((y - centre) / error)) @ (inflation * (ensemble - mean))


def weights(square: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Rows (..., M, M) by which departures are combined, of S S^T (..., M, M) and S R^-1/2 (y - H mean) (..., M)."""
    members = square.shape[-1]
    values, vectors = np.linalg.eigh(square)
    total, back = values + (members - 1), np.swapaxes(vectors, -1, -2)
    # the mean of departures is 0, so rows that all get the same move the mean alone
    shift = vectors @ ((back @ pull[..., None]) / total[..., None])
    spread = (vectors * np.sqrt((members - 1) / total)[..., None, :]) @ back
    return spread + np.swapaxes(shift, -1, -2)
