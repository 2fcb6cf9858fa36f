"""The files of a forecast, checked against the model: states, the boundary at all leads, the forcing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import NAMES, angles, frame_of, standard_forcing
from genkit_weather.data import Series, WeatherData
from genkit_weather.forecasting.regrid import fitted, longer_step
from genkit_weather.gridded import convert, found, opened, turned
from genkit_weather.models import Area, WeatherModel


@dataclass(frozen=True)
class Inputs:
    """What a forecast starts from, as weather data with one series: times from t-lag, or a day earlier, to t+N."""

    data: WeatherData
    time: np.datetime64
    """t, that of the last known state"""
    start: int
    """its index in the series"""
    notes: tuple[str, ...] = ()
    """what costs the forecast detail, a line each"""

    @property
    def series(self) -> Series:
        """The series."""
        return self.data.test[0]


def given(model: WeatherModel, initial: Path, boundary: Path, leads: int, forcing: Path | None = None) -> Inputs:
    """Read the files of a forecast over so many steps.

    Args:
        model: the trained model, against which variables, units, grid and times are checked.
        initial: the last two states, t-1 and t, or as far apart as those of the training; a file may hold more, and a
            model that looks a day back (`Domain.day`) takes what it holds of that. All files may be of any kind that
            `weather.own` reads; units are converted.
        boundary: the times t..t+N, of which the cells of the frame are read, on any grid that covers them and with any
            step (see `genkit_weather.forecasting.regrid`); of a model with a second data set around
            its area, that data set, over the times that its window needs.
        forcing: forcing that neither of them has, at t-1..t+N. What follows from time and place is computed.

    Raises:
        DataError: what is missing or differs, by file, variable and time.
    """
    area, step = model.area, np.timedelta64(round(model.area.step_hours * 3600), "s")
    lag = model.times.lag
    other = area if model.surroundings is None else model.surroundings.area
    first, second = open_file(initial, area), open_file(boundary, other)
    files = {str(boundary): second, str(initial): first} | (
        {} if forcing is None else {str(forcing): open_file(forcing, area)}
    )
    there = _rows(first)
    last = max(there, default=None)
    if last is None or last - lag * step not in there:
        raise DataError(
            f"{initial} has the times {', '.join(map(str, list(there)[-3:]))}; the model needs two states "
            f"{lag * step} apart"
        )
    domain, notes = model.domain, []
    mask, mean = domain.mask, np.asarray(domain.mean)
    start = lag + domain.day
    when = last + step * np.arange(-start, leads + 1)
    rows = np.array([i for i, one in enumerate(when[: start + 1]) if one in there])
    known = at_times(first, area, when[rows], str(initial))
    known = known if mask is None else np.where(mask, known, mean)
    last_two = np.isin(rows, (start - lag, start))
    _finite(known[last_two], area.names, when[rows[last_two]], str(initial))
    complete = last_two | np.isfinite(known).all((1, 2, 3))
    rows, known = rows[complete], known[complete]
    if len(rows) <= start:
        notes.append(
            f"{initial}: of the states from {when[0]} on, which the model would look at, {start + 1 - len(rows)} of "
            f"{start + 1} are missing or not finite; the climatology stands for them"
        )
    if model.surroundings is None and any(area.frame):
        if coarse := longer_step(second, when[start:]):
            notes.append(
                f"{boundary}: every {coarse:g} h, interpolated to the {area.step_hours:g} h of the model; a change "
                f"within {coarse:g} h is not in it"
            )
        states = [n for n in area.names if n in second]  # forcing is taken as the file has it, or computed
        second = fitted(second[states], area, when[start:], str(boundary))
    state = np.full((len(when), *known.shape[1:]), np.nan, np.float32)
    state[rows] = known
    frame = None
    if any(area.frame):
        outside = at_times(second, area, when[start:], str(boundary))
        outside = outside if mask is None else np.where(mask, outside, mean)
        frame = np.concatenate([state[:start], outside])
        _finite(frame_of(frame[start:], area.frame), area.names, when[start:], f"{boundary}, frame")
        frame[:, *area.interior] = np.nan  # nobody may look at it
    told = forcing_of(area, when[start - lag :], files)
    unread = np.full((start - lag, *told.shape[1:]), np.nan, np.float32)
    data = area.data(Series(state, np.concatenate([unread, told]), when, lateral=frame), str(initial))
    data = replace(data, mask=None if mask is None else np.asarray(mask))
    if model.surroundings is not None:
        data = model.surroundings.around(data, _surroundings(model.surroundings.area, second, boundary))
    return Inputs(data, last, start, tuple(notes))


def open_file(path: Path, area: Area) -> xr.Dataset:
    """Any file that `weather.own` reads, in the form of `genkit_weather.gridded.opened`; units and wind as in training.

    Units that the training corrected are corrected where the file says the same as those of the training.
    """
    file = members_of(path, area)
    if len(file) > 1:
        raise DataError(f"{path} holds {len(file)} members; give the file of one")
    return file[0]


def members_of(path: Path, area: Area) -> list[xr.Dataset]:
    """The members of a file, each as by `open_file`; one where it has no members."""
    file = opened(str(path))
    if "start" in file.dims:
        raise DataError(f"{path} holds {file.sizes['start']} forecasts; give the file of one")
    if "member" not in file.dims:
        return [_as_trained(file, area, str(path))]
    every = range(file.sizes["member"])
    return [_as_trained(file.isel(member=i, drop=True), area, str(path)) for i in every]


def _as_trained(file: xr.Dataset, area: Area, source: str) -> xr.Dataset:
    for name, said, meant in area.corrected:
        if name in file and str(file[name].attrs.get("units", "")) == said:
            file = file.assign({name: file[name].assign_attrs(units=meant)})
    return turned(file, area.wind, source) if found(file) else file  # type: ignore[arg-type]


def states_of(file: xr.Dataset, area: Area, source: str) -> xr.Dataset:
    """The model's variables (time, y, x) in its units on its grid, which is checked; rows run as those of the model."""
    fields = {}
    for name, unit in zip(area.names, area.units, strict=True):
        if name not in file:
            raise DataError(f"{source} has no variable {name}; the model needs {', '.join(area.names)}")
        found = str(file[name].attrs.get("units", ""))
        if not found and unit != "1":
            raise DataError(f"{source}: {name} has no units; the model was trained in {unit!r}, say so in the file")
        if set(file[name].dims) != {"time", "y", "x"}:
            raise DataError(f"{source}: {name} has dimensions {file[name].dims}, expected time, rows and columns")
        fields[name] = convert(file[name], found, unit, f"{source}: {name}")
    states = _turned(xr.Dataset(fields), area)
    if (states.sizes["y"], states.sizes["x"]) != area.grid:
        (h, w), rows, columns = area.grid, states.sizes["y"], states.sizes["x"]
        raise DataError(f"{source} has {rows} x {columns} cells, the model {h} x {w}; cut it to them")
    short = {"lat": "latitude", "lon": "longitude", "x": "x", "y": "y"}
    where = {k: states[name].values if name in states.coords else None for k, name in short.items()}
    pairs = [("lat", "lon"), ("x", "y")]
    if not any(getattr(area, a) is not None and where[a] is not None and where[b] is not None for a, b in pairs):
        known = " or ".join(f"{a} and {b}" for a, b in pairs if getattr(area, a) is not None)
        if known:
            raise DataError(f"{source} does not say where it lies; give it the coordinates {known} of the model")
    area.check(replace(area, **where), "the model", source)
    return states


def _turned(file: xr.Dataset, area: Area) -> xr.Dataset:
    """With rows and columns in the direction of the model's: files are read from south to north."""
    for dim, axis, pairs in (("y", 0, (("y", area.y), ("latitude", area.lat))),
                             ("x", 1, (("x", area.x), ("longitude", area.lon)))):  # fmt: skip
        for name, own in pairs:
            if own is not None and name in file.coords:
                lines = [
                    np.asarray(a) if np.ndim(a) == 1 else np.take(a, 0, 1 - axis) for a in (own, file[name].values)
                ]
                if np.sign(lines[0][-1] - lines[0][0]) != np.sign(lines[1][-1] - lines[1][0]):
                    file = file.isel({dim: slice(None, None, -1)})
                break
    return file


def at_times(file: xr.Dataset, area: Area, when: np.ndarray, source: str) -> np.ndarray:
    """(T, H, W, V) states of the model's variables at some times of a file."""
    states, rows = states_of(file, area, source), _rows(file)
    missing = [one for one in when if one not in rows]
    if missing:
        span = f"{min(rows)} to {max(rows)}" if rows else "no time"
        # what lies between its times might have been interpolated: what it has not begun, or ends before, comes first
        beyond = [one for one in missing if rows and not min(rows) <= one <= max(rows)]
        first = (beyond or missing)[0]
        raise DataError(f"{source} lacks {first}; the forecast needs {when[0]} to {when[-1]}, it has {span}")
    picked = states.isel(time=[rows[one] for one in when]).compute()
    return np.stack([picked[n].transpose("time", "y", "x").values for n in area.names], -1).astype(np.float32)


def _rows(file: xr.Dataset) -> dict[np.datetime64, int]:
    """The row of each time of a file."""
    return {one: i for i, one in enumerate(file["time"].values.astype("datetime64[s]"))}


def _finite(values: np.ndarray, names: tuple[str, ...], when: np.ndarray, source: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first = np.argwhere(bad)[0]
        raise DataError(f"{source}: {names[first[-1]]} is not finite at {when[first[0]]} ({int(bad.sum())} values)")


def forcing_of(area: Area, when: np.ndarray, files: dict[str, xr.Dataset]) -> np.ndarray:
    """(T, H, W, F), or (T, 1, 1, F), of the model's forcing: from files, or computed where it is a function of time."""
    grid = (1, 1) if area.uniform else area.grid
    out = np.full((len(when), *grid, len(area.forcing_names)), np.nan, np.float32)
    units = area.forcing_units or ("",) * len(area.forcing_names)
    for f, (name, unit) in enumerate(zip(area.forcing_names, units, strict=True)):
        for source, file in files.items():
            values = _field(_turned(file, area), name)
            if values is None or values.shape[1:] not in (grid, (1, 1)):
                continue  # of another grid
            said = str(file[name].attrs.get("units", ""))
            if unit not in ("", "1") and not said:
                raise DataError(f"{source}: {name} has no units; the model was trained in {unit!r}, say so in the file")
            values = convert(values, said, unit, f"{source}: {name}") if unit else values
            if area.forcing_fill is not None and values.shape[1:] == grid:
                fill = np.asarray(area.forcing_fill)[..., f]
                values = np.where(np.isnan(fill), values, fill)
            rows = _rows(file)
            for i, one in enumerate(when):
                if one in rows and np.isnan(out[i, ..., f]).any():
                    out[i, ..., f] = values[rows[one]]
        if np.isnan(out[..., f]).any() and name in NAMES:
            if area.lat is not None:
                out[..., f] = standard_forcing(when, area.lat, area.lon)[..., NAMES.index(name)]
            elif name in NAMES[1:]:
                out[..., f] = angles(when)[:, NAMES.index(name) - 1, None, None]
        bad = ~np.isfinite(out[..., f]).all((1, 2))
        if bad.any():
            raise DataError(f"the forcing {name} is in no file at {when[bad][0]}; give it with --forcing")
    return out


def _field(file: xr.Dataset, name: str) -> np.ndarray | None:
    """(T, rows, columns), or (T, 1, 1), of a variable; None where the file lacks it."""
    if name not in file or "time" not in file[name].dims:
        return None
    values = np.asarray(file[name].transpose("time", ...).values, np.float32)
    return values[:, None, None] if values.ndim == 1 else values


def _surroundings(area: Area, file: xr.Dataset, path: Path) -> WeatherData:
    """The second data set, over all times of its file."""
    when = file["time"].values.astype("datetime64[s]")
    state = at_times(file, area, when, str(path))
    if len(when) < 2 or (np.diff(when) != np.timedelta64(round(area.step_hours * 3600), "s")).any():
        raise DataError(f"{path}: its times are not every {area.step_hours:g} h, as those of the training were")
    _finite(state, area.names, when, str(path))
    return area.data(Series(state, forcing_of(area, when, {str(path): file}), when), str(path))
