"""What a forecasting model does on the training split: errors of one step, and backgrounds of a cycle."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from genkit_weather.assimilation import Covariance
from genkit_weather.cycling.case import Stations
from genkit_weather.cycling.cycle import Forecasts
from genkit_weather.cycling.methods import Method
from genkit_weather.data import Series, WeatherData

STARTS = 200  # forecasts of a series, spread evenly
STANDS = 24  # times for which a network stands
FEWEST = 4  # stations


def step_errors(parts: Iterable[Forecasts]) -> Covariance:
    """The covariance of the error of forecasts of one step from true states."""
    errors = []
    for forecasts in parts:
        climate, series = forecasts.climate, forecasts.series
        for start in np.linspace(1, len(series) - 2, min(STARTS, len(series) - 2)).astype(int):
            before, prev, after = climate.states(series, [start - 1, start, start + 1])
            members = (np.repeat(a[None], 2, 0) for a in (before, prev))
            errors.append(forecasts(int(start), *members, 1)[0] - after)
    return Covariance.fit(np.concatenate(errors))


def backgrounds(
    rng: np.random.Generator,
    method: Method,
    first: Method,
    forecasts: Forecasts,
    data: WeatherData,
    stations: Stations,
    members: int,
    rows: Iterable[int],
) -> Series:
    """A series cut to `rows` (0, 1, ...), whose `analysis` are mean forecasts of a cycle with random networks.

    The first two, which have no forecast, are what is expected from the frame.
    """
    climate, series, (down, across) = forecasts.climate, forecasts.series, data.interior
    before = prev = np.zeros((members, *climate.shape), np.float32)
    known = []
    for row in rows:
        if row % STANDS == 0:
            network = stations.network(rng, data, climate)
            some = int(rng.integers(min(FEWEST, stations.count), stations.count + 1))
            network = network.of(rng.permutation(stations.count)[:some])
        situation, observed = climate.situation(series, [row]), stations.measure(rng, network, climate, series, row)
        background = np.repeat(situation.expected, members, 0) if row < 2 else forecasts(row - 1, before, prev, 1)[0]
        state = np.array(series.state[row])
        state[down, across] = climate.physical(background.mean(0))
        known.append(state)
        before, prev = prev, (first if row < 2 else method)(rng, background, situation, observed).states
    count = len(known)
    lateral = None if series.lateral is None else series.lateral[:count]
    return Series(series.state[:count], series.forcing[:count], series.time[:count], lateral, np.stack(known))
