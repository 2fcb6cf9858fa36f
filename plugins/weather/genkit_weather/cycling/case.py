"""What is cycled: consecutive times of a series with the observations that methods are given, and those withheld."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genkit.errors import DataError
from genkit_weather.assimilation import ARCTAN, Climate, Network, Observed, Quantity, departures, quantity
from genkit_weather.data import Series, WeatherData
from genkit_weather.stations import wind_pairs

BEGIN = 1  # the first analysed time of a series: a forecast from it needs the one before
DRAWS = 100  # of what is expected, for the departure check


@dataclass(frozen=True)
class Stations:
    """Synthetic stations, drawn at random places of the interior, and what they measure of the truth."""

    count: int = 30
    """stations that are assimilated"""
    quantities: tuple[str, ...] = ()
    """what each measures: variables, `wind_speed`, `arctan(variable)`, `variable>limit`; all variables by default"""
    error: float = 0.1
    """standard deviation of their errors in std of the variable; of an arctangent as it is"""

    def measured(self, data: WeatherData) -> tuple[Quantity, ...]:
        """What each measures, read."""
        pairs = wind_pairs(data.names)
        wind = pairs[0] if len(pairs) == 1 else None
        return tuple(quantity(name, data.names, wind) for name in self.quantities or data.names)

    def network(self, rng: np.random.Generator, data: WeatherData, climate: Climate, withheld: float = 0.0) -> Network:
        """Stations at random places, with those of which a share is withheld."""
        count = round(self.count / (1 - withheld))
        return Network.random(rng, climate.shape, count, self.measured(data), climate.mean, climate.std)

    def measure(
        self, rng: np.random.Generator, network: Network, climate: Climate, series: Series, row: int
    ) -> Observed:
        """Observations of the truth at a time, with normal errors."""
        unit = np.array([1.0 if q.kind == ARCTAN else climate.std[q.first] for q in network.quantities])
        errors = np.broadcast_to(self.error * unit, (len(network.place), len(unit)))
        return network.measure(rng, climate.states(series, [row])[0].astype(float), errors)


@dataclass(frozen=True)
class Case:
    """Times of a series, the first two of which are for the begin, and their observations by time."""

    series: Series
    rows: list[int]
    given: Mapping[int, Observed]
    withheld: Mapping[int, Observed]
    names: tuple[str, ...]
    """of the stations"""
    departed: np.ndarray
    """(T, S, Q) of all observations from what is expected, over their expected size; NaN where there is none"""
    most: float
    """departures, above which an observation is left out"""

    @property
    def counts(self) -> tuple[int, int, int]:
        """Stations given, observations of them, stations withheld."""
        used, numbers = _stations(self.given), sum(int(one.there.sum()) for one in self.given.values())
        return used, numbers, _stations(self.withheld)

    @property
    def gross(self) -> np.ndarray:
        """(T, S, Q) bool, observations that are left out for their departure."""
        return np.abs(self.departed) > self.most

    def by_station(self) -> list[tuple[str, int, int, float, float]]:
        """Name, observations, how many are left out, mean departure and its root mean square, the largest first."""
        rows = []
        for name, one, gross in zip(self.names, *(a.swapaxes(0, 1) for a in (self.departed, self.gross)), strict=True):
            seen = one[np.isfinite(one)]
            if len(seen):
                rows.append((name, len(seen), int(gross.sum()), seen.mean(), np.sqrt(np.square(seen).mean())))
        return sorted(rows, key=lambda row: -row[-1])

    @classmethod
    def synthetic(
        cls, rng: np.random.Generator, stations: Stations, data: WeatherData, climate: Climate, series: Series,
        length: int, leads: int, withheld: float, departure: float,
    ) -> Case:  # fmt: skip
        """From the begin of a series, with so many steps after the last time."""
        if len(series) < (needed := BEGIN + length + leads):
            raise DataError(
                f"{data.source}: a series has {len(series)} times, {needed} are needed for {length - 2} analyses and "
                f"{leads} steps after them; ask for fewer"
            )
        rows = list(range(BEGIN, BEGIN + length))
        network = stations.network(rng, data, climate, withheld)
        seen = {row: stations.measure(rng, network, climate, series, row) for row in rows}
        return cls._parted(rng, climate, series, rows, seen, network, withheld, departure)

    @classmethod
    def matched(
        cls, rng: np.random.Generator, network: Network, seen: Mapping[np.datetime64, Observed], data: WeatherData,
        climate: Climate, length: int, leads: int, withheld: float, departure: float,
    ) -> Case:  # fmt: skip
        """The test series with most of the times of a file, from the first to the last of them."""
        found = [
            (series, [i for i, t in enumerate(series.time) if t in seen and BEGIN + 2 <= i < len(series) - leads])
            for series in data.test
        ]
        series, rows = max(found, key=lambda one: len(one[1]))
        if not rows:
            times = np.concatenate([s.time for s in data.test])
            raise DataError(
                f"no observation at a time of the test data of {data.source} with three before and {leads} after it, "
                f"{times.min()} to {times.max()}; the file "
                f"has {len(seen)} times, {min(seen, default='none')} to {max(seen, default='none')}"
            )
        first = rows[0] - 2
        rows = list(range(first, min(first + length, rows[-1] + 1)))
        own = {i: seen[series.time[i]] for i in rows if series.time[i] in seen}
        return cls._parted(rng, climate, series, rows, own, network, withheld, departure)

    @classmethod
    def _parted(
        cls, rng: np.random.Generator, climate: Climate, series: Series, rows: list[int], seen: Mapping[int, Observed],
        network: Network, withheld: float, departure: float,
    ) -> Case:  # fmt: skip
        count = len(network.place)
        hidden = np.zeros(count, bool)
        hidden[rng.permutation(count)[: min(round(withheld * count), count - 1)]] = True
        mask = np.repeat(hidden, len(network.quantities))
        drawn, departed = climate.covariance.draw(np.random.default_rng(0), DRAWS), {}
        for row, one in seen.items():
            found = departures(one, climate.situation(series, [row]).expected + drawn)
            departed[row] = np.where(one.there, found, np.nan)
        gross = {row: np.abs(d) > departure for row, d in departed.items()}
        given = {row: _without(one, mask | gross[row]) for row, one in seen.items()}
        apart = {row: _without(one, ~mask | gross[row]) for row, one in seen.items()} if hidden.any() else {}
        names = network.names or tuple(map(str, range(count)))
        every = np.stack([*departed.values()]).reshape(len(seen), count, -1)
        return cls(series, rows, given, apart, names, every, departure)


def _without(observed: Observed, mask: np.ndarray) -> Observed:
    return replace(observed, error=np.where(mask, np.inf, observed.error))


def _stations(observed: Mapping[int, Observed]) -> int:
    there: Sequence[np.ndarray] = [one.place[np.asarray(one.there)] for one in observed.values()]
    return len(np.unique(np.concatenate(there), axis=0)) if there else 0
