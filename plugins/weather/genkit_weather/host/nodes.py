"""The boundary data of models that see a second data set as nodes of their own.

The limited area is one `WeatherData` (`cut(data)`: its interior alone, without a frame), its surroundings are another,
on another grid, with another step, of analyses or of forecasts (series with `issued`). `Host.build` joins the two,

    host = Host.build(cut(area), surroundings, HostWindow(width=600.0))
    starts = host.starts("train", s, leads)            # times of series s from which all windows exist
    windows = host.windows("train", s, starts, leads)  # values (n, L, nodes, D (p+q+1)), deltas (n, L, p+q+1)
    host.features(windows, lead)                       # (n, nodes, host.channels), what an embedder takes

where lead l = 0..L-1 predicts the state at start + l + 1, the window is around that time, and nodes are `host.points`
of the surroundings' grid with places, static fields and standardised values. Source: Oskarsson, Adamov et al. 2025,
arXiv 2504.09340, and its code; section 3 there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from genkit.errors import DataError, UsageError
from genkit.kinds import ZERO
from genkit.tree import register_dataclass
from genkit_weather.area import Places, arc, interior_of
from genkit_weather.data import Series, WeatherData, statistics
from genkit_weather.host.members import paired
from genkit_weather.lazy import Lazy


@dataclass(frozen=True)
class HostWindow:
    """What a limited area is told of its surroundings (Oskarsson, Adamov et al. 2025, arXiv 2504.09340)."""

    width: float | None = None
    """how far the boundary reaches around the area, km; all of the other data set if none"""
    overlap: bool = False
    """take its points inside the area as well"""
    past: Annotated[int, ZERO] = 1
    """boundary times before the current one"""
    future: Annotated[int, ZERO] = 1
    """boundary times after it"""
    every: int = 1
    """use every n-th time of the other data set"""
    encoding: Annotated[int, ZERO] = 16
    """channels that tell how far in time each value is; even, 0 tells nothing"""
    dynamic: bool = False
    """tell the distance to the state's time; else to the current boundary time"""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.past, self.future, self.encoding) < 0 or self.every < 1 or self.encoding % 2:
            raise UsageError(
                f"past {self.past}, future {self.future} and encoding {self.encoding} are not negative, encoding is "
                f"even, every {self.every} is at least 1"
            )
        if self.width is not None and self.width <= 0:
            raise UsageError(f"width={self.width} km leaves no boundary; give more, or none for all points")


@register_dataclass
@dataclass(frozen=True)
class HostValues:
    """Boundary data of n forecasts over L leads."""

    values: Any
    """(n, L, nodes, D (p + q + 1)) standardised; variable by variable, each at all times of the window"""
    deltas: Any
    """(n, L, p + q + 1) times of the window against the reference, in steps of the state"""


@register_dataclass
@dataclass(frozen=True)
class HostFields:
    """What a model holds of its boundary data; passed to compiled code."""

    static: Any
    """(nodes, S) standardised"""
    scale: Any
    """() D of `encode`"""
    encoding: int = field(metadata={"static": True})
    """channels of a time"""

    def __call__(self, values: jax.Array, deltas: jax.Array) -> jax.Array:
        """(n, nodes, channels) of values (n, nodes, D times) and their times (n, times): values, times, static."""
        n, nodes = values.shape[:2]
        told = encode(deltas, self.encoding, self.scale).reshape(n, 1, -1)
        wide = [jnp.broadcast_to(a, (n, nodes, a.shape[-1])) for a in (told, jnp.asarray(self.static))]
        return jnp.concatenate([values, *wide], -1)


@dataclass(frozen=True)
class Host:
    """Boundary data joined with a limited area; see the module's docstring."""

    area: WeatherData
    data: WeatherData
    window: HostWindow
    points: np.ndarray  # (nodes,) flat cells of the grid of `data`
    distance: np.ndarray  # (nodes,) km to the nearest cell of the area
    static: np.ndarray  # (nodes, S) standardised
    mean: np.ndarray  # (D,) of state and forcing
    std: np.ndarray  # (D,)

    @classmethod
    def build(cls, area: WeatherData, data: WeatherData, window: HostWindow) -> "Host":
        """Choose the points, check the times, take the statistics.

        Raises:
            DataError: steps that do not divide, no point within the width, no statistics, no common coordinates.
        """
        ratio = data.step_hours * window.every / area.step_hours
        if not _whole(ratio) and not _whole(1 / ratio):
            raise DataError(
                f"the boundary step of {data.step_hours * window.every:g} h of {data.source} does not divide: expected "
                f"a multiple or a part of the {area.step_hours:g} h of {area.source}; sub-sample one by every or step"
            )
        if data.stored is None and not data.train:
            raise DataError(f"{data.source}: no statistics are stored, and no training series to find them from")
        stats = statistics(data)
        points, distance = surrounding(area, data, window.width, window.overlap)
        static = (data.static - stats.static_mean) / stats.static_std
        static = static.reshape(np.prod(data.grid), static.shape[-1])
        mean, std = (np.concatenate(p) for p in ((stats.mean, stats.forcing_mean), (stats.std, stats.forcing_std)))
        return cls(area, data, window, points, distance, static[points].astype(np.float32), mean, std)

    @property
    def names(self) -> tuple[str, ...]:
        """The D variables of a node: state and forcing of the other data set."""
        return (*self.data.names, *self.data.forcing_names)

    @property
    def ratio(self) -> float:
        """Boundary step in steps of the state."""
        return self.data.step_hours * self.window.every / self.area.step_hours

    @property
    def times(self) -> int:
        """Times of a window, p + q + 1."""
        return self.window.past + 1 + self.window.future

    @property
    def channels(self) -> int:
        """Channels of a node: (D + E) (p + q + 1) + S."""
        return (len(self.names) + self.window.encoding) * self.times + self.static.shape[-1]

    def starts(self, split: str, series: int, leads: int) -> np.ndarray:
        """(n,) times of a series of the area from which forecasts over `leads` have all their windows."""
        count = len(self.area.splits()[split][series])
        every = range(1, count - leads)
        return np.array([i for i in every if isinstance(self._match(split, series, i, leads), tuple)], int)

    def windows(self, split: str, series: int, starts: np.ndarray, leads: int) -> HostValues:
        """Boundary data of forecasts from each start, for leads 1..L.

        An analysis is matched by the last boundary time not after the state's. Of forecasts, the latest counts that
        was issued strictly before the start and has `past` times before it; members go with those of the area.
        """
        values, deltas = [], []
        step = np.timedelta64(round(self.area.step_hours * 3600), "s")
        for start in np.asarray(starts):
            found = self._match(split, series, int(start), leads)
            if isinstance(found, str):
                raise DataError(found)
            run, index = found  # (L,) rows of the run
            rows = index[:, None] + self.window.every * np.arange(-self.window.past, self.window.future + 1)
            when = self.area.splits()[split][series].time[start + 1 : start + leads + 1]
            reference = when if self.window.dynamic else run.time[index]
            deltas.append((run.time[rows] - reference[:, None]) / step)
            values.append(self._read(run, rows))
        return HostValues(np.stack(values), np.stack(deltas).astype(np.float32))

    def features(self, windows: HostValues, lead: Any) -> jax.Array:
        """(n, nodes, channels) of one lead: values, encoded times, static fields. Works under jit and in a scan."""
        return self.fields(windows.values[:, lead], windows.deltas[:, lead])

    @property
    def fields(self) -> HostFields:
        """What a model needs; D of `encode` is the longest distance in time, max(q r, (p + 1) r)."""
        scale = max(self.window.future, self.window.past + 1) * self.ratio
        return HostFields(self.static, np.float32(scale), self.window.encoding)

    def _match(self, split: str, series: int, start: int, leads: int) -> tuple[Series, np.ndarray] | str:
        """The boundary run of a forecast and the rows (L,) that are current at its leads, or why there is none."""
        time = self.area.splits()[split][series].time
        when, every = time[start + 1 : start + leads + 1], self.window.every
        past, future = self.window.past * every, self.window.future * every
        step = np.timedelta64(round(self.data.step_hours * every * 3600), "s")
        for run in self._runs(split, series, time[start]):
            index = np.searchsorted(run.time, when, side="right") - 1
            index = index // every * every
            begin = (np.searchsorted(run.time, time[start], side="right") - 1) // every * every
            if (begin if run.issued is not None else index[0]) < past:
                continue  # an earlier forecast may have the past
            if index[-1] + future >= len(run.time) or (when - run.time[index] >= step).any():
                break
            return run, index
        span = f"{when[0] - self.window.past * step} to {when[-1] + self.window.future * step}"
        return f"{self.data.source}, {split}: no boundary data from {span} for a forecast from {time[start]}"

    def _runs(self, split: str, series: int, begin: np.datetime64) -> Iterable[Series]:
        """Boundary runs that may serve a forecast, the best first."""
        runs, own = self.data.splits()[split], self.area.splits()[split]
        if any(run.issued is not None for run in runs):
            issued, forecasts = self._forecasts[split][series]
            return (forecasts[i] for i in range(int(np.searchsorted(issued, begin)) - 1, -1, -1))
        if len(runs) not in (1, len(own)):
            raise DataError(
                f"{self.data.source} has {len(runs)} {split} series for {len(own)} of {self.area.source}; "
                "expected one, or one for each"
            )
        return [runs[series if len(runs) > 1 else 0]]

    @cached_property
    def _forecasts(self) -> dict[str, list[tuple[np.ndarray, list[Series]]]]:
        """Analysis times and forecasts, in their order, for each series of the area in each split."""
        found = {}
        for split, own in self.area.splits().items():
            found[split] = []
            forecasts = [run for run in self.data.splits()[split] if run.issued is not None]
            for runs in paired(own, forecasts, f"{self.data.source}, {split}"):
                issued = np.array([run.issued for run in runs], "datetime64[s]")
                order = np.argsort(issued, kind="stable")
                found[split].append((issued[order], [runs[i] for i in order]))
        return found

    def _read(self, run: Series, rows: np.ndarray) -> np.ndarray:
        """Standardised values (L, nodes, D times), each row of the run read once."""
        needed, back = np.unique(rows, return_inverse=True)
        parts = []
        for array in (run.state, run.forcing):
            values = np.asarray(array[needed], np.float32)
            flat = values.reshape(len(needed), values.shape[1] * values.shape[2], values.shape[3])
            parts.append(
                flat[:, self.points] if values.shape[1:3] == self.data.grid else flat.repeat(len(self.points), 1)
            )
        values = (np.concatenate(parts, -1) - self.mean) / self.std
        window = np.moveaxis(values[back.reshape(rows.shape)], 1, -1)  # (L, nodes, D, times)
        return window.reshape(*window.shape[:2], -1).astype(np.float32)


def surrounded(data: WeatherData, other: WeatherData, window: HostWindow) -> WeatherData:
    """The interior of a limited area with another data set as its boundary, in place of the frame."""
    area = cut(data)
    return replace(area, around=Host.build(area, other, window))


def encode(deltas: jax.Array, channels: int, scale: Any) -> jax.Array:
    """(..., E) of times (...,): sin(t / a_k), k = 1..E/2, then cos(t / a_k), with a_k = (2 D)^(2 k / E)."""
    k = np.arange(1, channels // 2 + 1)
    angle = jnp.asarray(deltas)[..., None] / (2 * scale) ** (2 * k / max(channels, 1)).astype(np.float32)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def surrounding(
    area: WeatherData, data: WeatherData, width: float | None, overlap: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Flat cells of `data` within `width` km of the cells of an area, and their distances (nodes,) in km.

    Without `overlap`, cells inside the area (in a quadrilateral of four of its cell centres) are left out.
    Distances are on the sphere where both have latitudes and longitudes, else in the plane of x and y.
    """
    inner, outer = Places.of(area), Places.of(data)
    globe = inner.on_globe(outer)
    near = KDTree(inner.kilometres(globe)).query(outer.kilometres(globe))[0]
    near = arc(near) if globe else near
    if globe:
        first, second = np.ravel(outer.lat), np.ravel(outer.lon)  # type: ignore[arg-type]
    else:
        second, first = outer.kilometres(False)[:, :2].T
    allowed = np.ones(len(near), bool) if overlap else np.isnan(inner.locate(first, second, globe)).any(-1)
    keep = allowed if width is None else allowed & (near <= width)
    if not keep.any():
        nearest = f"the nearest outside is {near[allowed].min():.0f} km away" if allowed.any() else "all are inside"
        raise DataError(
            f"{data.source} has no point within {width} km around {area.source} ({nearest}); give a greater width, or "
            "overlap"
        )
    points = np.flatnonzero(keep)
    return points, near[points]


def cut(data: WeatherData) -> WeatherData:
    """The interior of a limited area as a domain of its own, without a frame: all of it is predicted."""
    if not any(data.frame):
        return data
    rows, columns = data.interior

    def series(one: Series) -> Series:
        small = {n: _cut(getattr(one, n), data) for n in ("state", "forcing", "analysis")}
        return replace(one, **small, lateral=None, host=None)

    oracle = data.oracle
    return replace(
        data,
        **{name: tuple(series(one) for one in split) for name, split in data.splits().items()},
        static=data.static[rows, columns],
        frame=(0, 0),
        lat=None if data.lat is None else data.lat[rows, columns],
        lon=None if data.lon is None else data.lon[rows, columns],
        x=None if data.x is None else data.x[columns],
        y=None if data.y is None else data.y[rows],
        weights=None if data.weights is None else data.weights[rows, columns],
        mask=None if data.mask is None else data.mask[rows, columns],
        oracle=None if oracle is None else lambda *args, **kw: interior_of(oracle(*args, **kw), data.frame),
    )


def _cut(array: Any, data: WeatherData) -> Any:
    """The interior of (T, H, W, C), read lazily where the array is."""
    if array is None or array.shape[1:3] == (1, 1):
        return array
    if not isinstance(array, Lazy):
        return interior_of(array, data.frame)
    (h, w), (fy, fx) = data.grid, data.frame
    shape = (array.shape[0], h - 2 * fy, w - 2 * fx, array.shape[-1])
    return Lazy(shape, lambda rows: interior_of(array.read(rows), data.frame))


def _whole(number: float) -> bool:
    return number > 0.999 and abs(number - round(number)) < 1e-6
