"""The files of a forecast, checked against the model: two states, the boundary at all leads, the forcing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import NAMES, angles, frame_of, standard_forcing
from genkit_weather.data import Series, WeatherData
from genkit_weather.from_xarray import LAT, LON, horizontal, kilometres, place, stack, times
from genkit_weather.models import Area, WeatherModel


@dataclass(frozen=True)
class Inputs:
    """What a forecast starts from, as weather data with one series: times t-lag, ..., t, ..., t+N."""

    data: WeatherData
    time: np.datetime64
    """t, that of the last known state"""
    start: int
    """its index in the series"""

    @property
    def series(self) -> Series:
        """The series."""
        return self.data.test[0]


def given(model: WeatherModel, initial: Path, boundary: Path, leads: int, forcing: Path | None = None) -> Inputs:
    """Read the files of a forecast over so many steps.

    Args:
        model: the trained model, against which variables, units, grid and times are checked.
        initial: the last two states, t-1 and t, or as far apart as those of the training; a file may hold more.
        boundary: the times t..t+N, of which the cells of the frame are read; of a model with a second data set around
            its area, that data set, over the times that its window needs.
        forcing: forcing that neither of them has, at t-1..t+N. What follows from time and place is computed.

    Raises:
        DataError: what is missing or differs, by file, variable and time.
    """
    area, step = model.area, np.timedelta64(round(model.area.step_hours * 3600), "s")
    lag = model.times.lag
    with open_file(initial) as first, open_file(boundary) as second:
        extra = {} if forcing is None else {str(forcing): open_file(forcing).load()}
        known = states_of(first, area, str(initial))
        time = times(first, str(initial), 2)
        two = [len(time) - 1 - int(lag * step / (time[1] - time[0])), len(time) - 1]
        if two[0] < 0 or time[two[1]] - time[two[0]] != lag * step:
            raise DataError(
                f"{initial}: its times are {time[1] - time[0]} apart; the model needs two states {lag * step} apart"
            )
        when = time[-1] + step * np.arange(-lag, leads + 1)
        around = model.surroundings
        state = np.full((len(when), *known.shape[1:]), np.nan, np.float32)
        state[[0, lag]] = known[two]
        _finite(state[[0, lag]], area.names, when[[0, lag]], str(initial))
        frame = None
        if any(area.frame):
            outside = at_times(second, states_of(second, area, str(boundary)), when[lag:], str(boundary))
            frame = np.concatenate([state[:lag], outside])
            _finite(frame_of(frame[lag:], area.frame), area.names, when[lag:], f"{boundary}, frame")
            frame[:, *area.interior] = np.nan  # nobody may look at it
        told = _forcing(area, when, {**extra, str(boundary): second, str(initial): first})
        data = area.data(Series(state, told, when, lateral=frame), str(initial))
        if around is not None:
            data = around.around(data, _surroundings(around.area, second, boundary))
    return Inputs(data, time[-1], lag)


def open_file(path: Path) -> xr.Dataset:
    """A NetCDF file or a zarr folder."""
    try:
        engine: Any = {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {}
        file = xr.open_dataset(path, **engine)
        return file.set_coords([name for name in (*LAT, *LON) if name in file])
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:150]
        raise DataError(f"cannot read {path}: {reason}; expected a NetCDF file or a .zarr folder") from None


def states_of(file: xr.Dataset, area: Area, source: str) -> np.ndarray:
    """(T, H, W, V) of the model's variables, its units and grid checked."""
    for name, unit in zip(area.names, area.units, strict=True):
        if name not in file:
            raise DataError(f"{source} has no variable {name}; the model needs {', '.join(area.names)}")
        found = str(file[name].attrs.get("units", ""))
        if not found and unit != "1":
            raise DataError(f"{source}: {name} has no units; the model was trained in {unit!r}, say so in the file")
        if (found or "1") != unit:
            raise DataError(f"{source}: {name} is in {found!r}, the model was trained in {unit!r}; convert it")
    dims = horizontal(file, area.names[0], source)
    state = stack(file, list(area.names), ("time", *dims), source)
    if state.shape[1:3] != area.grid:
        (h, w), (rows, columns) = area.grid, state.shape[1:3]
        raise DataError(f"{source} has {rows} x {columns} cells, the model {h} x {w}; cut it to them")
    where = {"lat": place(file, LAT, dims), "lon": place(file, LON, dims)}
    where |= {"x": kilometres(file, "x"), "y": kilometres(file, "y")}
    pairs = [("lat", "lon"), ("x", "y")]
    if not any(getattr(area, a) is not None and where[a] is not None and where[b] is not None for a, b in pairs):
        known = " or ".join(f"{a} and {b}" for a, b in pairs if getattr(area, a) is not None)
        if known:
            raise DataError(f"{source} does not say where it lies; give it the coordinates {known} of the model")
    area.check(replace(area, **where), "the model", source)
    return state


def at_times(file: xr.Dataset, values: np.ndarray, when: np.ndarray, source: str) -> np.ndarray:
    """Values at some times of a file."""
    rows = _rows(file, source)
    missing = [one for one in when if one not in rows]
    if missing:
        span = f"{min(rows)} to {max(rows)}" if rows else "no time"
        raise DataError(f"{source} lacks {missing[0]}; the forecast needs {when[0]} to {when[-1]}, it has {span}")
    return values[[rows[one] for one in when]]


def _rows(file: xr.Dataset, source: str) -> dict[np.datetime64, int]:
    """The row of each time of a file, in whatever order they are."""
    if "time" not in file.coords or file["time"].dtype.kind != "M":
        raise DataError(f"{source}: time must be a coordinate of dates (datetime64); decode or assign it")
    return {one: i for i, one in enumerate(file["time"].values.astype("datetime64[s]"))}


def _finite(values: np.ndarray, names: tuple[str, ...], when: np.ndarray, source: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first = np.argwhere(bad)[0]
        raise DataError(f"{source}: {names[first[-1]]} is not finite at {when[first[0]]} ({int(bad.sum())} values)")


def _forcing(area: Area, when: np.ndarray, files: dict[str, xr.Dataset]) -> np.ndarray:
    """(T, H, W, F), or (T, 1, 1, F), of the model's forcing: from files, or computed where it is a function of time."""
    grid = (1, 1) if area.uniform else area.grid
    out = np.full((len(when), *grid, len(area.forcing_names)), np.nan, np.float32)
    for f, name in enumerate(area.forcing_names):
        for source, file in files.items():
            values = _field(file, name, source)
            if values is None or values.shape[1:] not in (grid, (1, 1)):
                continue  # of another grid
            rows = _rows(file, source)
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


def _field(file: xr.Dataset, name: str, source: str) -> np.ndarray | None:
    """(T, rows, columns), or (T, 1, 1), of a variable; None where the file lacks it."""
    if name not in file or "time" not in file[name].dims:
        return None
    if file[name].ndim == 1:
        return np.asarray(file[name].values, np.float32)[:, None, None]
    return stack(file, [name], ("time", *horizontal(file, name, source)), source)[..., 0]


def _surroundings(area: Area, file: xr.Dataset, path: Path) -> WeatherData:
    """The second data set, over all times of its file."""
    state, when = states_of(file, area, str(path)), times(file, str(path), 2)
    _finite(state, area.names, when, str(path))
    return area.data(Series(state, _forcing(area, when, {str(path): file}), when), str(path))
