"""The local ensemble transform Kalman filter (Hunt, Kostelich and Szunyogh 2007, Physica D 230)."""

import numpy as np

from genkit_weather.assimilation.etkf import weights


def letkf(
    ensemble: np.ndarray,
    predicted: np.ndarray,
    y: np.ndarray,
    error: np.ndarray,
    near: np.ndarray,
    inflation: float = 1.0,
) -> np.ndarray:
    """Analysis (M, sites, V): at each site that of the ETKF with R^-1 times `near`.

    Args:
        ensemble: background (M, sites, V).
        predicted: what would be observed of each member (M, m).
        y: observations (m,).
        error: their standard deviations (m,); infinity where there is none.
        near: (sites, m) how much each observation counts at each site, 0 to 1; all ones is the ETKF.
        inflation: factor on the background's departures from the mean.
    """
    mean, centre = ensemble.mean(0), predicted.mean(0)
    s = inflation * (predicted - centre) / error
    square = np.einsum("im,sm,jm->sij", s, near, s, optimize=True)
    pull = np.einsum("im,sm->si", s * ((y - centre) / error), near, optimize=True)
    return mean + np.einsum("sij,jsv->isv", weights(square, pull), inflation * (ensemble - mean), optimize=True)
