"""Climatology, persistence with and without the frame's news, dressed ensembles and exact ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import jax
import numpy as np

from genkit.errors import UsageError
from genkit_weather.area import harmonic, hour_of_day
from genkit_weather.data import Series, WeatherData, blocks, frames, take, truth
from genkit_weather.lam import Domain, Formulation, Inputs, Outlook, domain_of, first_guess, unroll

UNSEEN = "daily climatology: a forecast time of day does not occur in the training split"


class Forecast(Protocol):
    """A fitted forecaster."""

    def __call__(self, series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
        """Forecasts (start, lead, member, H, W, V), float32."""
        ...


class Baseline(Protocol):
    """Options of a forecaster."""

    def fit(self, data: WeatherData) -> Forecast:
        """A forecaster that has seen the training split."""
        ...


@dataclass(frozen=True)
class Climatology:
    """`members` states of the training split, drawn anew for each start and the same at all leads."""

    members: int = 50
    seed: int = 0

    def fit(self, data: WeatherData) -> Forecast:
        """Needs no fit: the training states are the forecast."""
        lengths = np.cumsum([0, *(len(s) for s in data.train)])
        if lengths[-1] < self.members:
            raise UsageError(f"climatology of {self.members} members from {lengths[-1]} training states; ask for fewer")

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            out = []
            for start in starts:
                drawn = _generator(self.seed, series, start).choice(lengths[-1], self.members, replace=False)
                which = np.searchsorted(lengths, drawn, "right") - 1
                rows = [data.train[s].state[d - lengths[s]] for s, d in zip(which, drawn, strict=True)]
                out.append(np.stack(rows))
            states = np.stack(out).astype(np.float32)[:, None]
            return np.broadcast_to(states, (len(states), len(leads), *states.shape[2:]))

        return forecast


@dataclass(frozen=True)
class ClimatologyMean:
    """The mean of the training states at each grid point: the climatology with the smallest squared error."""

    def fit(self, data: WeatherData) -> Forecast:
        """Take the mean map."""
        total = np.sum([piece.sum(0) for s in data.train for piece in blocks(s.state)], 0)
        mean = (total / sum(len(s) for s in data.train)).astype(np.float32)

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            return np.broadcast_to(mean, (len(starts), len(leads), 1, *mean.shape))

        return forecast


@dataclass(frozen=True)
class Persistence:
    """The last known state."""

    def fit(self, data: WeatherData) -> Forecast:
        """Needs no fit."""

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            last = take(series.known, np.asarray(starts))
            return with_frame(data, series, starts, leads, np.repeat(last[:, None], len(leads), 1))

        return forecast


@dataclass(frozen=True)
class Harmonic:
    """Persistence plus the harmonic extension of how the frame has changed since the start."""

    def fit(self, data: WeatherData) -> Forecast:
        """Build the extension."""
        return _with_extension(data, lambda series, when: np.zeros((1,) * when.ndim + (1, 1, 1), np.float32))


@dataclass(frozen=True)
class HarmonicEnsemble:
    """`Harmonic` dressed with its own errors: each member adds those of one start of the training split at all leads.

    The starts are drawn anew for each forecast, without replacement where there are enough.
    """

    members: int = 8
    seed: int = 0

    def fit(self, data: WeatherData) -> Forecast:
        """Build the extension; errors are found when they are drawn."""
        if self.members < 2:
            raise UsageError("harmonic_ensemble baseline: one member is no ensemble; ask for more --members")
        centre, (rows, columns) = Harmonic().fit(data), data.interior

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            past = [(s, i) for s, one in enumerate(data.train) for i in range(len(one) - max(leads))]
            if not past:
                raise UsageError(f"harmonic_ensemble baseline: no series of the training split has {max(leads)} leads")
            out = np.repeat(centre(series, starts, leads), self.members, 2)
            for row, start in enumerate(starts):
                rng = _generator(self.seed, series, start)
                drawn = np.sort(rng.choice(len(past), self.members, replace=len(past) < self.members))
                for s in sorted({past[d][0] for d in drawn}):
                    member, then = zip(*[(m, past[d][1]) for m, d in enumerate(drawn) if past[d][0] == s], strict=True)
                    error = truth(data.train[s], then, leads) - centre(data.train[s], then, leads)[:, :, 0]
                    inner = np.ix_([row], range(len(leads)), member)
                    out[..., rows, columns, :][inner] += error.swapaxes(0, 1)[None, ..., rows, columns, :]
            return out

        return forecast


@dataclass(frozen=True)
class Diurnal:
    """Persistence plus the climatological change by the time of day plus the extended residual of the frame.

    The climatology is the mean training state at each grid point and time of day.
    """

    def fit(self, data: WeatherData) -> Forecast:
        """Take the mean map of each time of day."""
        return _with_extension(data, daily_climatology(data))


@dataclass(frozen=True)
class Relaxed:
    """The first guess `relaxed` of the models, step after step: see `genkit_weather.lam.Formulation`."""

    def fit(self, data: WeatherData) -> Forecast:
        """Take the mean map of each hour and fit the shares that a day and a step leave of a departure from it."""
        domain = domain_of(data, Formulation("relaxed"))
        seen = np.unique(np.concatenate([hour_of_day(s.time) for s in data.train]))

        @jax.jit
        def rolled(domain: Domain, given: Outlook) -> jax.Array:
            def step(inputs: Inputs) -> tuple[jax.Array, jax.Array]:
                x = first_guess(domain, inputs)
                return x, x

            return unroll(step, given)[:, 0] * domain.std + domain.mean

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            if min(leads) < 1:
                raise UsageError(f"relaxed baseline: leads are steps after the start; {min(leads)} is none")
            out, (rows, columns) = frames(series, starts, leads), data.interior
            on_the_way = np.asarray(starts)[:, None] + np.arange(max(leads) + 1)
            if not np.isin(hour_of_day(series.time)[on_the_way], seen).all():
                raise UsageError(UNSEEN)
            for own, start in zip(out, starts, strict=True):
                states = rolled(domain, Outlook.build(domain, series, [start], max(leads)))
                own[:, rows, columns] = np.asarray(states)[np.asarray(leads) - 1]
            return out[:, :, None]

        return forecast


@dataclass(frozen=True)
class Oracle:
    """Exact draws of the future, for data whose dynamics are known; starts are those of the first test series."""

    members: int = 10
    seed: int = 0

    def fit(self, data: WeatherData) -> Forecast:
        """Needs no fit, but data that can be re-run."""
        rerun = data.oracle
        if rerun is None:
            raise UsageError(f"oracle baseline: {data.source} cannot be re-run; choose another baseline")

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            if series is not data.test[0]:
                raise UsageError("oracle baseline: only the first series of the test split can be re-run")
            return rerun(starts, self.members, leads, self.seed)

        return forecast


def _generator(seed: int, series: Series, start: int) -> np.random.Generator:
    """Of a forecast, which is told by the time of its start, wherever that lies in a series."""
    return np.random.default_rng((seed, int(series.time[start].astype("datetime64[s]").view(np.uint64))))


def with_frame(
    data: WeatherData, series: Series, starts: Sequence[int], leads: Sequence[int], states: np.ndarray
) -> np.ndarray:
    """States (start, lead, H, W, V) with the given boundary data in the frame and a member axis of 1."""
    rows, columns = data.interior
    out = frames(series, starts, leads) if max(data.frame) else np.empty(states.shape, np.float32)
    out[:, :, rows, columns] = states[:, :, rows, columns]
    return out[:, :, None]


def daily_climatology(data: WeatherData) -> Callable[[Series, np.ndarray], np.ndarray]:
    """Mean training state by the time of day, as a function (series, index (...)) -> states (..., H, W, V)."""
    seen = sorted({h for s in data.train for h in _time_of_day(s.time)})
    total = np.zeros((len(seen), *data.grid, len(data.names)))
    count = np.zeros(len(seen))
    for s in data.train:
        slot = np.searchsorted(seen, _time_of_day(s.time))
        done = 0
        for piece in blocks(s.state):
            np.add.at(total, slot[done : done + len(piece)], piece)
            done += len(piece)
        count += np.bincount(slot, minlength=len(seen))
    mean = (total / count[:, None, None, None]).astype(np.float32)

    def climatology(series: Series, when: np.ndarray) -> np.ndarray:
        of_day = _time_of_day(series.time)[when]
        slot = np.searchsorted(seen, of_day)
        known = np.asarray(seen)[np.minimum(slot, len(seen) - 1)] == of_day
        if not known.all():
            raise UsageError(UNSEEN)
        return mean[slot]

    return climatology


def _with_extension(data: WeatherData, climatology) -> Forecast:  # noqa: ANN001 - (series, index) -> states
    fill = harmonic(data.grid, data.frame).fill

    def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
        first = np.asarray(starts)[:, None]
        expected = climatology(series, first + np.asarray(leads)) - climatology(series, first)
        news = frames(series, starts, leads) - frames(series, starts, [0]) - expected
        states = take(series.known, first) + expected + np.asarray(fill(news))
        return with_frame(data, series, starts, leads, states)

    return forecast


def _time_of_day(time: np.ndarray) -> np.ndarray:
    return (time - time.astype("datetime64[D]")) / np.timedelta64(1, "s")
