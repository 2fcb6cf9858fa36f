"""Linear forecasts fitted to the training split and rolled out step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.baselines.simple import Forecast, with_frame
from genkit_weather.data import Series, WeatherData, blocks, frames, statistics, take

MOST_STATES = 4000  # the principal components are found from at most so many


@dataclass(frozen=True)
class AR2:
    """x(t+1) = a x(t) + b x(t-1) + c, one (a, b, c) a variable for all grid points, by least squares."""

    def fit(self, data: WeatherData) -> Forecast:
        """Solve the normal equations over all cells and times of the training split."""
        v = len(data.names)
        gram, moment = np.zeros((v, 3, 3)), np.zeros((v, 3))
        shift = statistics(data).mean.astype(np.float64)  # the equations are ill-conditioned far from zero
        for series in data.train:
            for piece in blocks(series.state, overlap=2):
                x = (piece - shift).reshape(len(piece), -1, v)
                columns = np.stack([x[1:-1], x[:-2], np.ones_like(x[2:])], -1)
                gram += np.einsum("tgvi,tgvj->vij", columns, columns, optimize=True)
                moment += np.einsum("tgvi,tgv->vi", columns, x[2:], optimize=True)
        a, b, c = np.linalg.solve(gram, moment[..., None])[..., 0].T
        c = c + shift * (1 - a - b)

        def step(now: np.ndarray, before: np.ndarray, ahead: np.ndarray) -> np.ndarray:
            return a * now + b * before + c

        return _rollout(data, step)


@dataclass(frozen=True)
class Ridge:
    """The next state from principal components of the area now and a step before, and of the frame a step ahead.

    The linear model that a trained network has to beat. Everything is standardised by variable; the penalty falls on
    the coefficients of unscaled components.
    """

    penalty: float = 100.0
    area_components: int = 250
    frame_components: int = 150

    def fit(self, data: WeatherData) -> Forecast:
        """Find the components, then one ridge regression for all interior cells."""
        stats = statistics(data)
        mask = data.frame_mask

        def scaled(states: np.ndarray) -> np.ndarray:
            return (np.asarray(states, np.float32) - stats.mean) / stats.std

        def area(states: np.ndarray) -> np.ndarray:
            return scaled(states).reshape(len(states), -1)

        def around(states: np.ndarray) -> np.ndarray:
            return scaled(states)[:, mask].reshape(len(states), -1)

        by_area = Components.fit([area(s.known) for s in data.train], self.area_components)
        by_frame = None
        if mask.any():
            by_frame = Components.fit([around(s.boundary) for s in data.train], self.frame_components)

        def features(now: np.ndarray, before: np.ndarray, ahead: np.ndarray) -> np.ndarray:
            columns = [by_area(area(now)), by_area(area(before))]
            if by_frame is not None:
                columns.append(by_frame(around(ahead)))
            return np.concatenate([*columns, np.ones((len(now), 1))], 1)

        size = len(features(*(np.asarray(data.train[0].state[:1]),) * 3)[0])
        gram = self.penalty * np.eye(size)
        gram[-1, -1] = 0  # the constant is free
        moment = 0.0
        rows, columns = data.interior
        for s in data.train:
            x = features(np.asarray(s.known[1:-1]), np.asarray(s.known[:-2]), np.asarray(s.boundary[2:]))
            y = scaled(s.state[2:] - s.state[1:-1] + stats.mean)[:, rows, columns]
            gram += x.T @ x
            moment = moment + x.T @ y.reshape(len(y), -1)
        weights = cho_solve(cho_factor(gram), moment)

        def step(now: np.ndarray, before: np.ndarray, ahead: np.ndarray) -> np.ndarray:
            change = features(now, before, ahead) @ weights
            out = now.copy()
            inner = out[:, rows, columns]
            out[:, rows, columns] = inner + change.reshape(inner.shape) * stats.std
            return out

        return _rollout(data, step)


@dataclass(frozen=True)
class FrameRegression:
    """The interior from principal components of the frame at the same time: all that a boundary tells without a start.

    The floor of skill of a limited area that is told its frame, the same at any lead. Penalty as in `Ridge`.
    """

    penalty: float = 100.0
    components: int = 150

    def fit(self, data: WeatherData) -> Forecast:
        """One ridge regression for all interior cells."""
        if not any(data.frame):
            raise UsageError(f"frame_regression baseline: {data.source} has no frame; choose another baseline")
        stats, (rows, columns), by_frame = statistics(data), data.interior, self.map(data)

        def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
            given = frames(series, starts, leads)
            around = frame_of((given.reshape(-1, *given.shape[2:]) - stats.mean) / stats.std, data.frame)
            out = given.copy()
            cells = out[:, :, rows, columns]
            out[:, :, rows, columns] = by_frame(around).reshape(cells.shape) * stats.std + stats.mean
            return out[:, :, None]

        return forecast

    def map(self, data: WeatherData) -> "FrameMap":
        """Find the components of the frame and their weights; of data without a frame the mean of each cell."""
        return self.maps(data, 1)[0]

    def maps(self, data: WeatherData, parts: int) -> "tuple[FrameMap, list[FrameMap]]":
        """The map of the training split, and for each of the `parts` of each series (`cut`) that of all others."""
        stats, frame = statistics(data), data.frame

        def scaled(states: np.ndarray) -> np.ndarray:
            return (np.asarray(states, np.float32) - stats.mean) / stats.std

        around = [frame_of(scaled(s.boundary[:]), frame).reshape(len(s), -1) for s in data.train]
        none = Components(np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
        by_frame = FrameMap(Components.fit(around, self.components) if any(frame) else none, np.zeros(0))
        size = by_frame.components.basis.shape[1] + 1
        penalty, sums = self.penalty * np.eye(size), []
        penalty[-1, -1] = 0  # the constant is free
        for s, given in zip(data.train, around, strict=True):
            for rows in cut(len(s), parts):
                x, y = by_frame.features(given[rows]), interior_of(scaled(s.state[rows]), frame)
                sums.append((x.T @ x, x.T @ y.reshape(len(y), -1)))

        def of(some: Any) -> "FrameMap":
            gram, moment = (sum(a) for a in zip(*some, strict=True))
            return replace(by_frame, weights=cho_solve(cho_factor(gram + penalty), moment).astype(np.float32))

        others = [of(sums[:i] + sums[i + 1 :]) for i in range(len(sums))] if len(sums) > 1 else []
        return of(sums), others


def cut(length: int, parts: int) -> list[slice]:
    """So many contiguous parts of a series, as equal as may be; fewer where it is too short."""
    bounds = np.linspace(0, length, min(parts, length) + 1).round().astype(int)
    return [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


@register_dataclass
@dataclass(frozen=True)
class FrameMap:
    """What is expected in the interior where a frame is known, standardised."""

    components: "Components"
    weights: Any
    """(count + 1, d) of the components and the constant"""

    def features(self, frame: np.ndarray) -> np.ndarray:
        """(n, count + 1) of frames (n, cells V)."""
        return np.concatenate([self.components(frame), np.ones((len(frame), 1), np.float32)], 1)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """(n, d) numbers of the interior of frames (n, cells, V)."""
        return self.features(frame.reshape(len(frame), -1)) @ self.weights


@register_dataclass
@dataclass(frozen=True)
class Components:
    """Leading principal components of vectors of d numbers."""

    mean: Any
    """(d,)"""
    basis: Any
    """(d, count), orthonormal columns"""

    @classmethod
    def fit(cls, parts: Sequence[np.ndarray], count: int) -> "Components":
        """From rows (n, d) of several parts, evenly thinned where there are too many."""
        rows = np.concatenate(parts)
        rows = rows[:: -(-len(rows) // MOST_STATES)]
        mean = rows.mean(0)
        rows = rows - mean
        n, d = rows.shape
        small = rows @ rows.T if n < d else rows.T @ rows
        count = min(count, len(small))
        values, vectors = eigh(small.astype(np.float64), subset_by_index=[len(small) - count, len(small) - 1])
        keep = values > 1e-6 * values[-1]
        vectors = vectors[:, keep]
        basis = rows.T @ vectors / np.sqrt(values[keep]) if n < d else vectors
        return cls(mean, basis)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Scores (n, count) of rows (n, d)."""
        return (rows - self.mean) @ self.basis


def _rollout(data: WeatherData, step: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Forecast:
    """Feed each step's interior, with the boundary data in the frame, to the next: to all leads up to the last."""

    def forecast(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
        first = np.asarray(starts)
        now, before = take(series.known, first), take(series.known, first - 1)
        kept = {}
        for lead in range(1, max(leads) + 1):
            ahead = frames(series, starts, [lead])[:, 0] if max(data.frame) else now
            inner = step(now, before, ahead)
            now, before = with_frame(data, series, starts, [lead], inner[:, None])[:, 0, 0], now
            kept[lead] = now
        return np.stack([kept[lead] for lead in leads], 1)[:, :, None]

    return forecast
