"""Quality control of observations before they are used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genkit_weather.assimilation.observed import Observed


def departures(observed: Observed, background: np.ndarray) -> np.ndarray:
    """(m,) y - H x over its expected size sqrt(spread^2 + error^2), of members (M, h, w, V); 0 where y is missing."""
    predicted = observed.predict(background)
    spread2 = predicted.var(0, ddof=1) if len(predicted) > 1 else 0.0
    expected = np.sqrt(spread2 + np.where(observed.there, observed.errors, 1.0) ** 2)
    return np.where(observed.there, observed.y - predicted.mean(0), 0.0) / expected


def checked(observed: Observed, background: np.ndarray, most: float) -> tuple[Observed, np.ndarray]:
    """The observations without those that depart too far from a background, and which those are, (m,) bool.

    Args:
        observed: the observations.
        background: members (M, h, w, V), with the spread of their own error.
        most: largest departure in units of its expected standard deviation; infinity keeps all.
    """
    gross = np.abs(departures(observed, background)) > most
    return replace(observed, error=np.where(gross, np.inf, observed.error)), gross
