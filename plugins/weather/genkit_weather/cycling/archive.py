"""What a cycle knows of the training split: forecasts as backgrounds of a diffusion about optimal interpolation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from genkit_weather.cycling.case import Stations
from genkit_weather.cycling.cycle import Forecasts
from genkit_weather.cycling.methods import Method
from genkit_weather.data import WeatherData

STANDS = 24  # times for which a network stands
FEWEST = 4  # stations


def backgrounds(
    rng: np.random.Generator,
    method: Method,
    first: Method,
    forecasts: Forecasts,
    data: WeatherData,
    stations: Stations,
    members: int,
    rows: Iterable[int],
) -> np.ndarray:
    """(T, H, W, V) mean forecasts of a cycle with random networks over `rows` (0, 1, ...) of a series.

    NaN where there is none: in the first two, whose analyses are by `first`, and after the rows.
    """
    climate, series, (down, across) = forecasts.climate, forecasts.series, data.interior
    known = np.full(series.state.shape, np.nan, np.float32)
    background = before = prev = np.zeros((members, *climate.shape), np.float32)
    for row in rows:
        if row % STANDS == 0:
            network = stations.network(rng, data, climate)
            some = int(rng.integers(min(FEWEST, stations.count), stations.count + 1))
            network = network.of(rng.permutation(stations.count)[:some])
        situation, observed = climate.situation(series, [row]), stations.measure(rng, network, climate, series, row)
        if row > 1:
            background = forecasts(row - 1, before, prev, 1)[0]
            known[row] = series.state[row]
            known[row, down, across] = climate.physical(background.mean(0))
        before, prev = prev, (first if row < 2 else method)(rng, background, situation, observed).states
    return known
