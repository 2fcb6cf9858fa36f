"""What is learned about an expectation is learned where it was not fitted: folds of the training split."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from genkit.errors import UsageError
from genkit_weather.assimilation.climate import Climate
from genkit_weather.assimilation.covariance import Covariance
from genkit_weather.baselines import FrameRegression, cut
from genkit_weather.data import Series, WeatherData, statistics

FOLDS = 6


@dataclass(frozen=True)
class Folds:
    """Data, the climate of their training split, and that split in folds, each with what all others expect in it.

    The errors of an expectation are smaller where it was fitted, so priors and corrections are learned from the folds.
    """

    weather: WeatherData
    climate: Climate
    train: tuple[tuple[Climate, Series], ...]
    """the folds, each with the climate whose regression does not know it; one covariance, of all their errors"""

    @classmethod
    def of(cls, data: WeatherData) -> Folds:
        """Fit the expectations and the covariance.

        Raises:
            UsageError: cells without values, or a boundary from a second data set.
        """
        if data.mask is not None:
            raise UsageError(f"{data.source} has cells without values, which are not assimilated; leave them out")
        if data.around is not None:
            raise UsageError("an analysis takes its boundary from the frame of the data; leave --host out")
        each = max(1, FOLDS // len(data.train))
        stats, (whole, others) = statistics(data), FrameRegression().maps(data, each)
        nothing = Covariance(np.zeros((0, 0), np.float32), (*data.grid, len(data.names)))
        fixed = (stats.mean, stats.std, stats.forcing_mean, stats.forcing_std)
        climate = Climate(*fixed, (data.static - stats.static_mean) / stats.static_std, whole, nothing, data.frame)
        series = [_rows(s, rows) for s in data.train for rows in cut(len(s), each)]
        folds = [(replace(climate, by_frame=one), s) for one, s in zip(others or [whole], series, strict=True)]
        errors = [c.states(s, range(len(s))) - c.situation(s, range(len(s))).expected for c, s in folds]
        covariance = Covariance.fit(np.concatenate(errors))
        train = tuple((replace(c, covariance=covariance), s) for c, s in folds)
        return cls(data, replace(climate, covariance=covariance), train)


def _rows(series: Series, rows: slice) -> Series:
    given = {name: getattr(series, name) for name in ("lateral", "analysis", "forecast")}
    given = {name: a[rows] for name, a in given.items() if a is not None}
    return Series(series.state[rows], series.forcing[rows], series.time[rows], **given)
