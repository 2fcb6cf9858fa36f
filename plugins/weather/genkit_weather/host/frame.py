"""A second data set in the frame of a limited area, interpolated to its cells and times.

What a forecast gets of a host model on another grid, with another step (`genkit_weather.forecasting.regrid`), a
training gets by `framed(data, other)`: bilinear between the four cells around, linear between two times, wind as
eastward and northward. Of forecasts (series with `issued`), those count that were issued before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import Places
from genkit_weather.data import Series, WeatherData
from genkit_weather.gridded import SHORTEST, accumulated, angle, factor, found
from genkit_weather.host.members import paired
from genkit_weather.lazy import Lazy

AXES = {"eastward_wind": "earth", "x_wind": "grid"}


def framed(data: WeatherData, other: WeatherData) -> WeatherData:
    """A limited area whose frame has the values of another data set in place of its own.

    Times at which that has no values cut the series, and are told in the notes. `other` has all variables of `data`, in
    any order and units, and covers the frame. Where both have members, the i-th of one goes with the i-th of the other.

    Raises:
        DataError: what is missing, by name; a sum over time that would be cut; wind of an unknown direction; members
            that are not as many.
    """
    if not any(data.frame):
        raise DataError(f"{data.source} has no frame that {other.source} could fill; set --data.frame")
    values = _Values.of(data, other)
    splits, notes, oracle = {}, [], data.oracle
    for name, series in data.splits().items():
        runs = paired(series, other.splits()[name], f"{other.source}, {name}")
        parts = [_pieces(one, some, values) for one, some in zip(series, runs, strict=True)]
        pieces = [piece for part in parts for piece in part]
        if not pieces:
            raise DataError(
                f"{other.source}, {name}: no boundary at {SHORTEST} times in a row of {data.source}, which has "
                f"{_span(series)}; {other.source} has {_span(other.splits()[name])}; give both the same "
                "days in each split"
            )
        kept, every = (sum(map(len, some)) for some in (pieces, series))
        if kept < every:
            notes.append(f"{other.source}, {name}: a boundary at {kept} of {every} times; {every - kept} are left out")
        if name == "test" and [len(piece) for piece in parts[0]] != [len(series[0])]:
            oracle = None  # it re-runs the whole of the first series
        splits[name] = tuple(pieces)
    return replace(data, **splits, oracle=oracle, notes=(*data.notes, *notes))


@dataclass(frozen=True)
class HostForecasts:
    """Boundary data of forecasts of a host model: `Series.host` of a series with times `time`."""

    time: np.ndarray
    runs: tuple[Series, ...]  # by the time of issue
    values: _Values

    def starts(self, leads: Sequence[int]) -> np.ndarray:
        """(n,) times from which a forecast that was issued before has all leads."""
        return np.flatnonzero(self._latest(leads) >= 0)

    def __call__(self, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
        """(start, lead, H, W, V), by the latest forecast that was issued before each start and has all leads."""
        out, latest = [], self._latest(leads)
        for start in starts:
            if latest[start] < 0:
                raise DataError(
                    f"{self.values.source}: no forecast issued before {self.time[start]} has {self.time[start]} with "
                    f"leads {leads[0]} to {leads[-1]}; ask for fewer --leads"
                )
            out.append(self.values.at(self.runs[latest[start]], self.time[start + np.asarray(leads)]))
        return np.stack(out)

    def _latest(self, leads: Sequence[int]) -> np.ndarray:
        """(T,) number of the latest run that was issued before each time and has all leads from there, else -1."""
        number, steps = np.full(len(self.time), -1), np.asarray(leads)
        for i, run in enumerate(self.runs):
            if run.issued is None:
                continue
            lo, hi = np.searchsorted(self.time, [run.time[0], run.time[-1] + 1 * self.values.step])
            after = np.searchsorted(self.time, run.issued, side="right")
            starts = np.arange(max(lo - steps.min(), after, 0), min(hi - steps.max(), len(number)))
            has = self.values.covers(run, self.time[lo:hi])
            number[starts[has[starts[:, None] + steps - lo].all(1)]] = i
        return number


@dataclass(frozen=True)
class _Values:
    """Values of one data set at the frame of another."""

    grid: tuple[int, int]
    cells: np.ndarray  # (F,) of the frame, flat
    corners: np.ndarray  # (F, 4) flat cells of the other grid
    weights: np.ndarray  # (F, 4)
    variables: np.ndarray  # (V,) places among those of the other
    units: np.ndarray  # (2, V) scale and offset
    turns: tuple[tuple[int, int, np.ndarray], ...]  # pairs of wind, angles (F, 4) from the other's axes to the own
    sums: tuple[str, ...]
    step: np.timedelta64  # of the other
    source: str

    @classmethod
    def of(cls, data: WeatherData, other: WeatherData) -> _Values:
        missing = [name for name in data.names if name not in other.names]
        if missing:
            raise DataError(f"{other.source} has no {missing[0]}, which the frame of {data.source} needs")
        variables = np.array([other.names.index(name) for name in data.names])
        units = [factor(other.units[i], unit, f"{other.source}: {name}")
                 for i, name, unit in zip(variables, data.names, data.units, strict=True)]  # fmt: skip
        own, host = Places.of(data), Places.of(other)
        globe = own.on_globe(host)
        cells = np.flatnonzero(data.frame_mask)
        first, second = own.pair(globe)
        place = host.locate(first.ravel()[cells], second.ravel()[cells], globe)
        corners, weights = host.covering(place, f"the frame of {data.source}")
        if other.mask is not None:
            known = other.mask.reshape(-1, len(other.names))[corners][..., variables] | (weights == 0)[..., None]
            wanted = True if data.mask is None else data.mask.reshape(-1, len(data.names))[cells]
            if bare := int((wanted & ~known.all(1)).sum()):
                raise DataError(f"{other.source} has no value at {bare} cells of the frame of {data.source}")
        kinds = _kinds(data)
        sums = tuple(str(n) for n, a in kinds.data_vars.items() if accumulated(a))
        if sums and other.step_hours != data.step_hours:
            raise DataError(
                f"{other.source}: {sums[0]} is a sum over {other.step_hours:g} h, that of {data.source} over "
                f"{data.step_hours:g} h; leave it out, or give data of the same step"
            )
        turns = _turns(data, other, kinds, corners, cells) if globe else ()
        step = np.timedelta64(round(other.step_hours * 3600), "s")
        return cls(data.grid, cells, corners, weights.astype(np.float32), variables, np.transpose(units), turns, sums,
                   step, other.source)  # fmt: skip

    def covers(self, run: Series, when: np.ndarray) -> np.ndarray:
        """(T,) bool: the times that a run has, or has on both sides."""
        inside = (when >= run.time[0]) & (when <= run.time[-1])
        return inside & (np.isin(when, run.time) if self.sums else True)

    def at(self, run: Series, when: np.ndarray) -> np.ndarray:
        """(T, H, W, V) at times that a run covers, NaN inside the frame: nobody may look at it."""
        low, part = self._between(run, when)
        needed, back = np.unique([low, np.minimum(low + 1, len(run) - 1)], return_inverse=True)
        states = np.asarray(run.state[needed], np.float32)
        flat = states.reshape(len(states), -1, states.shape[-1])[:, self.corners][..., self.variables]
        for u, v, turn in self.turns:
            along, across = flat[..., u], flat[..., v]
            turned = along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)
            flat[..., u], flat[..., v] = turned
        frame = np.einsum("tfkv,fk->tfv", flat, self.weights) * self.units[0] + self.units[1]
        first, second = frame[back.reshape(2, -1)]
        between = first + (second - first) * part[:, None, None]
        out = np.full((len(when), self.grid[0] * self.grid[1], len(self.variables)), np.nan, np.float32)
        out[:, self.cells] = between
        return out.reshape(len(when), *self.grid, -1)

    def _between(self, run: Series, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (T,) of the last times of a run not after some times, and how far (0 to 1) those are to the next."""
        low = np.clip(np.searchsorted(run.time, when, side="right") - 1, 0, len(run) - 1)
        return low, ((when - run.time[low]) / self.step).astype(np.float32)


def _pieces(one: Series, runs: tuple[Series, ...], values: _Values) -> list[Series]:
    """A series with its boundary, in as many pieces as that has."""
    runs = tuple(sorted(runs, key=lambda run: run.time[0] if run.issued is None else run.issued))
    forecasts = any(run.issued is not None for run in runs)
    number, exact = np.full(len(one), -1), np.zeros(len(one), bool)
    for i, run in enumerate(runs):
        lo, hi = np.searchsorted(one.time, (run.time[0], run.time[-1] + 1 * values.step), side="left")
        here = one.time[lo:hi]
        has, met = values.covers(run, here), np.isin(here, run.time)
        if forecasts:  # the latest that was issued before
            better = has & (here > (run.issued or run.time[0]))
        else:  # one that has the time itself before one that has it in between
            better = has & ((number[lo:hi] < 0) | (met & ~exact[lo:hi]))
        number[lo:hi], exact[lo:hi] = np.where(better, i, number[lo:hi]), np.where(better, met, exact[lo:hi])
    inside = np.flatnonzero(number >= 0)
    parts = [p for p in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(p) >= SHORTEST]
    return [_piece(one, slice(p[0], p[-1] + 1), runs, number, values, forecasts) for p in parts]


def _piece(one: Series, rows: slice, runs: Any, number: np.ndarray, values: _Values, forecasts: bool) -> Series:
    time, number = one.time[rows], number[rows]

    def read(which: np.ndarray) -> np.ndarray:
        out = np.empty((len(which), *values.grid, len(values.variables)), np.float32)
        for i in np.unique(number[which]):
            some = number[which] == i
            out[some] = values.at(runs[i], time[which][some])
        return out

    names = ("state", "forcing", "analysis", "forecast")
    arrays = {n: _rows(getattr(one, n), rows) for n in names}
    lateral: Any = Lazy((len(time), *values.grid, len(values.variables)), read, _key(runs, number, time, values))
    host = HostForecasts(time, runs, values) if forecasts else None
    return replace(one, **arrays, time=time, lateral=lateral, host=host)


def _span(series: Sequence[Series]) -> str:
    return f"{min(s.time[0] for s in series)} to {max(s.time[-1] for s in series)}" if series else "none"


def _rows(array: Any, rows: slice) -> Any:
    """Some rows of an array, read lazily where it is."""
    if array is None or rows == slice(0, array.shape[0]):
        return array
    if not isinstance(array, Lazy):
        return array[rows]
    key = array.key and f"{array.key} {rows.start} {rows.stop}"
    return Lazy((rows.stop - rows.start, *array.shape[1:]), lambda which: array.read(which + rows.start), key)


def _key(runs: Any, number: np.ndarray, time: np.ndarray, values: _Values) -> str:
    """Of the boundary; empty where one of the runs has none."""
    used = [getattr(runs[i].state, "key", "") for i in np.unique(number)]
    if not all(used):
        return ""
    told = hashlib.sha256(repr((used, values.grid, values.units.tolist())).encode())
    for array in (number, time, values.cells, values.corners, values.weights, values.variables):
        told.update(np.ascontiguousarray(array).tobytes())
    return told.hexdigest()


def _kinds(data: WeatherData) -> xr.Dataset:
    """The variables without values, with what is told of them."""
    said = data.standard_names or ("",) * len(data.names)
    every = zip(data.names, data.units, said, strict=True)
    return xr.Dataset({n: xr.DataArray(0.0, name=n, attrs={"units": u, "standard_name": s}) for n, u, s in every})


def _turns(data: WeatherData, other: WeatherData, kinds: xr.Dataset, corners: Any, cells: Any) -> Any:
    """Pairs of wind, and the angles (F, 4) by which they are turned; none where both have the same axes."""
    pairs = found(kinds)
    first, last = (_alpha(one) if pairs else np.zeros(1) for one in (other, data))
    if not first.any() and not last.any():
        return ()
    turn = np.resize(first, other.grid).ravel()[corners] - np.resize(last, data.grid).ravel()[cells][:, None]
    return tuple((data.names.index(u), data.names.index(v), turn) for u, v in pairs)


def _alpha(data: WeatherData) -> np.ndarray:
    """(H, W) angle from east to the axis of the first component of wind; (1,) 0 where it is along the earth's axes."""
    lat, lon = np.asarray(data.lat), np.asarray(data.lon)
    if np.ptp(lat, 1).max() < 1e-3 and np.ptp(lon, 0).max() < 1e-3:  # rows run to the east
        return np.zeros(1)
    said = {AXES[s] for s in data.standard_names if s in AXES}
    axes = data.wind if data.wind != "file" else (said.pop() if len(said) == 1 else None)
    if axes is None:
        raise DataError(
            f"{data.source} has wind as its files had it, along an unknown direction of a turned grid; read both data "
            "sets with wind=earth or wind=grid"
        )
    return angle(lat, lon) if axes == "grid" else np.zeros(1)
