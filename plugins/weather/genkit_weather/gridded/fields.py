"""Any file of gridded data in one form: variables (member, time or start and step, y, x), levels as variables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded.files import VALID
from genkit_weather.gridded.grid import placed
from genkit_weather.gridded.names import described, find, role
from genkit_weather.gridded.times import dates, durations, evened

PRESSURE = (
    "plev",
    "pressure",
    "isobaricinpa",
    "pressure_level",
    "level",
    "lev",
)  # above 2000 in Pa, where units are silent
ORDER = ("member", "start", "time", "step", "y", "x")


def fields(file: xr.Dataset, source: str, levels: tuple[float, ...] = ()) -> xr.Dataset:
    """A data set in the one form.

    Variables have dimensions among `ORDER` and attributes units, long_name, standard_name; coordinates are those of
    `placed`, time with `passed` (seconds in the calendar of the file), or start with `passed` and step (seconds). Times
    of forecasts also have `begun`, the `passed` of their start. A variable at one level alone has it as the attribute
    `level` ("850 hPa"). What is not gridded (bounds, names, grid mappings) is dropped. `levels` are those that are kept
    of more than one.

    Raises:
        DataError: what cannot be understood, in one line.
    """
    file = file.drop_vars(_bounds(file))
    file = file.set_coords(
        [n for n, a in file.data_vars.items() if a.ndim < 2 and a.dtype.kind in "MO" and _dated(n, file)]
    )
    file = _one_version(_destaggered(_stamped(file, source)))
    file = placed(file, source) if _gridded(file) else file
    file = _members(_timed(file, source), source)
    out, notes = {}, list(file.attrs.get("notes", ()))
    for name in map(str, file.data_vars):
        parts = list(_by_level(file[name], file, levels))
        if not parts and not levels and {"y", "x"} <= set(file[name].dims) and file[name].dtype.kind in "fiub":
            notes.append(
                f"{name} is along {' and '.join(str(d) for d in file[name].dims if d not in ORDER)} and left out"
            )
        for part in parts:
            if str(part.name) in out:
                raise DataError(f"{source}: two variables would be called {part.name}; rename one")
            out[str(part.name)] = part.transpose(*(d for d in ORDER if d in part.dims))
    if not out:
        held = [d for d in file.dims if levels and d in file.coords and role(d, file) == "level"]
        if held and file[held[0]].dtype.kind in "fiu":
            has = ", ".join(f"{v:g}" for v in _level_values(file, str(held[0]))[0])
            raise DataError(f"{source}: no variable has a level {', '.join(f'{v:g}' for v in levels)}; it has {has}")
        raise DataError(f"{source}: no variable is a field or a series of numbers; found {described(file)}")
    kept = ("y", "x", "latitude", "longitude", "time", "start", "step", "passed", "begun", "member")
    bare = {n: a.reset_coords(drop=True) for n, a in out.items()}
    return xr.Dataset(bare, {n: file[n].variable for n in kept if n in file.coords}, file.attrs | {"notes": notes})


def _dated(name: Any, file: xr.Dataset) -> bool:
    """Whether a variable of dates is a coordinate that the file does not call so."""
    return role(name, file) in ("time", "start") and file[name].dims != (name,)


def _gridded(file: xr.Dataset) -> bool:
    """Whether some variable has a dimension that may be a row, a column or points."""
    place = (None, "y", "x", "latitude", "longitude")
    return any(role(d, file) in place for a in file.data_vars.values() for d in a.dims if a.dtype.kind in "fiub")


def _bounds(file: xr.Dataset) -> list[str]:
    """Variables that hold the bounds of cells and times."""
    named = {a.attrs.get(k) or a.encoding.get(k) for a in file.variables.values() for k in ("bounds", "climatology")}
    ends = ("_bnds", "_bounds", "_vertices")
    return [str(n) for n in file.variables if n in named or str(n).endswith(ends)]


def _stamped(file: xr.Dataset, source: str) -> xr.Dataset:
    """Dates of WRF, which are strings (2020-01-01_06:00:00) of their own."""
    if "Times" not in file or file["Times"].dtype.kind not in "SUO":
        return file
    dim = str(file["Times"].dims[0])
    labels = [t.decode() if isinstance(t, bytes) else str(t) for t in file["Times"].values]
    try:
        stamps = np.array([t.replace("_", "T") for t in labels], "datetime64[s]")
    except ValueError:
        raise DataError(f"{source}: Times holds {labels[0]!r}, expected dates as 2020-01-01_06:00:00") from None
    other = [n for n in file.coords if n != dim and role(n, file) == "time"]
    return file.drop_vars(["Times", *other]).assign_coords({dim: (dim, stamps)})


def _destaggered(file: xr.Dataset) -> xr.Dataset:
    """Means of the two sides of a cell, of variables on the edges of cells (WRF)."""
    for dim in [d for d in map(str, file.dims) if d.endswith("_stag")]:
        centre = dim.removesuffix("_stag")
        if centre in file.dims and file.sizes[dim] == file.sizes[centre] + 1:
            on_edges = file[[n for n in file.data_vars if dim in file[n].dims]].reset_coords(drop=True)
            with xr.set_options(keep_attrs=True):
                mean = 0.5 * (on_edges.isel({dim: slice(None, -1)}) + on_edges.isel({dim: slice(1, None)}))
            file = file.drop_dims(dim).assign(mean.rename({dim: centre}).data_vars)
    return file


def _one_version(file: xr.Dataset) -> xr.Dataset:
    """The final analysis, and the preliminary where there is none yet (expver of the Climate Data Store)."""
    for name in find(file, "version"):
        if name in file.dims:
            parts = [file.isel({name: i}, drop=True) for i in range(file.sizes[name])]
            merged = parts[0]
            for part in parts[1:]:
                merged = merged.fillna(part)
            file = merged.assign_attrs(file.attrs)
        else:
            file = file.drop_vars(name)
    return file


def _timed(file: xr.Dataset, source: str) -> xr.Dataset:
    """Dimension time, or start and step; a single time of a file becomes a dimension."""
    file = _summed(_crossed(file, source), source)
    dims = {key: next((str(d) for d in file.dims if role(d, file) == key), None) for key in ("time", "start", "step")}
    if dims["step"] is not None:
        begin = dims["start"] or dims["time"]
        if begin is None:
            scalar = [n for n in (*find(file, "start"), *find(file, "time")) if n in file.coords and not file[n].ndim]
            scalar = [n for n in scalar if str(n) != "valid_time"] or scalar
            if not scalar:
                raise DataError(f"{source}: forecasts by {dims['step']} without the time at which they begin")
            begin = scalar[0]
            file = file.expand_dims(begin)
        stamps, passed = dates(_coordinate(file, begin, source).values, source)
        after = durations(_coordinate(file, dims["step"], source), source)
        file = file.drop_vars(_others(file, (begin, dims["step"]))).rename({begin: "start", dims["step"]: "step"})
        return file.assign_coords(start=("start", stamps), passed=("start", passed), step=("step", after))
    main = dims["time"] or dims["start"]
    if main is None:
        scalar = [n for n in (*find(file, "time"), *find(file, "start")) if n in file.coords and not file[n].ndim]
        if not scalar:
            return file  # static fields
        main = "valid_time" if "valid_time" in scalar else scalar[0]
        file = file.expand_dims(main)
    valid = [n for n in find(file, "time") if n != main and n in file.coords and file[n].dims == (main,)]
    values = _coordinate(file, valid[0] if valid and file[valid[0]].dtype.kind in "MO" else main, source).values
    stamps, passed = dates(values, source)
    timed = file.drop_vars(_others(file, (main,))).rename({main: "time"} if main != "time" else {})
    timed = evened(timed.assign_coords(time=("time", stamps), passed=("time", passed)))
    begun = _begun(file, main, timed["passed"].values, source)
    return timed if begun is None else timed.assign_coords(begun=("time", begun))


def _crossed(file: xr.Dataset, source: str) -> xr.Dataset:
    """With the starts and steps that are missing of valid times along both."""
    for time in (file[n] for n in find(file, "time") if file[n].ndim == 2 and file[n].dtype.kind in "MO"):
        step, start = time.dims if role(time.dims[0], file) == "step" else time.dims[::-1]
        if step in file.coords and start in file.coords:
            continue
        time = time.transpose(start, step)
        passed = dates(time.values.ravel(), source)[1].reshape(time.shape)
        first = int(durations(file[step], source)[0]) if step in file.coords else 0
        begun = dates(file[start].values, source)[1] if start in file.coords else passed[:, 0] - first
        after = passed - begun[:, None]
        if (after != after[0]).any():
            raise DataError(
                f"{source}: {time.name} has other steps at other {start}s; give {step} and {start} coordinates"
            )
        coords: dict[Any, Any] = {step: (step, after[0].astype("timedelta64[s]"), {"standard_name": "forecast_period"})}
        if start not in file.coords:
            attrs = {"standard_name": "forecast_reference_time"}
            before = timedelta(seconds=first) if time.dtype.kind == "O" else np.timedelta64(first, "s")
            coords[start] = start, time.values[:, 0] - before, attrs
        return file.drop_vars(str(time.name)).assign_coords(coords)
    return file


def _summed(file: xr.Dataset, source: str) -> xr.Dataset:
    """With times along a dimension that has none, but lead times and when their forecasts begin."""
    for step in find(file, "step"):
        (dim, *more) = file[step].dims or ("",)
        if more or not dim or dim in file.variables or file[step].dtype.kind not in "mfiu":
            continue
        if role(dim, file) == "step":
            return file.drop_vars(step).assign_coords({dim: (dim, file[step].values, file[step].attrs)})
        for start in find(file, "start"):
            if file[start].dims in ((), (dim,)) and file[start].dtype.kind in "MO":
                begin, after = np.atleast_1d(file[start].values), durations(file[step], source).astype("timedelta64[s]")
                if hasattr(begin[0], "calendar"):
                    times = begin + after.astype(object)
                else:
                    begin = dates(begin, source)[0]
                    times = begin + after
                begun = file[start].dims, begin.reshape(file[start].shape)
                coords = {dim: (dim, times, {"standard_name": "time"}), start: begun}
                return file.drop_vars([step, start]).assign_coords(coords)
    return file


def _begun(file: xr.Dataset, main: str, passed: np.ndarray, source: str) -> np.ndarray | None:
    """When the forecasts begin that the times of a file are of, where it says so by one start or one step."""
    held = {k: [n for n in find(file, k) if n in file.coords and n != main] for k in ("start", "step")}
    steps = [n for n in held["step"] if file[n].dtype.kind in "mfiu" and not file[n].ndim]
    if steps:
        return passed - int(durations(file[steps[0]], source))
    starts = [file[n] for n in held["start"] if file[n].dtype.kind in "MO" and file[n].dims in ((), (main,))]
    begun = [dates(np.atleast_1d(a.values), source)[1] for a in starts if a.notnull().all()]
    return next((np.full(len(passed), one[0]) for one in begun if (one == one[0]).all()), None)


def _coordinate(file: xr.Dataset, name: str, source: str) -> xr.DataArray:
    if name not in file.variables:
        raise DataError(f"{source}: the dimension {name} has no coordinate; give it dates (hours since ...)")
    return file[name]


def _others(file: xr.Dataset, main: tuple[str, ...]) -> list[Any]:
    """Coordinates of time that are not the main ones, and the main ones too."""
    kinds = ("time", "start", "step")
    return [n for n in file.coords if role(n, file) in kinds and (n in main or n not in file.dims)]


def _members(file: xr.Dataset, source: str) -> xr.Dataset:
    """Dimension member, or one member alone as a scalar coordinate; numbered as in the file, else from 0."""
    name = next((str(d) for d in file.dims if role(d, file) == "member"), None)
    if name is None:
        name = next((n for n in find(file, "member") if n in file.coords and not file[n].ndim), "member")
    if name in file.dims and name not in file.coords:
        file = file.assign_coords({name: np.arange(file.sizes[name])})
    if name in file.dims and (twice := file.sizes[name] - len(np.unique(file[name].values))):
        raise DataError(f"{source}: {name} has {twice} of its {file.sizes[name]} members twice; number them anew")
    return file.rename({name: "member"}) if name != "member" else file


def _by_level(array: xr.DataArray, file: xr.Dataset, levels: tuple[float, ...]) -> Iterable[xr.DataArray]:
    """The variable at each level: one level keeps its name, several are called t_850; what is no field is left out."""
    if array.dtype.kind not in "fiub" or not set(array.dims) & {"y", "x", "time"}:
        return
    other = [str(d) for d in array.dims if d not in ORDER]
    attrs = {k: str(v) for k, v in array.attrs.items() if k in ("units", "long_name", "standard_name", "cell_methods")}
    attrs |= {k: v for k, v in array.attrs.items() if k in ("GRIB_stepType", "GRIB_uvRelativeToGrid", *VALID)}
    array = array.assign_attrs(attrs) if attrs == array.attrs else array.drop_attrs().assign_attrs(attrs)
    single = [d for d in other if file.sizes[d] == 1]
    if (level := _one_level(array, file, single)) is not None:
        array = array.assign_attrs(level=level)
    array, other = array.isel(dict.fromkeys(single, 0), drop=True), [d for d in other if d not in single]
    spatial = {"y", "x"} & set(array.dims)
    if len(other) > 1 or len(spatial) == 1 or (not spatial and other):
        return
    if not other:
        yield array
        return
    dim = other[0]
    if role(dim, file) != "level" and not (dim in file.coords and file[dim].dtype.kind in "fiu"):
        return
    values, unit = _level_values(file, dim)
    for i in (int(i) for level in levels or values for i in np.flatnonzero(np.isclose(values, level))):
        named = {"long_name": f"{array.attrs.get('long_name', array.name)} at {values[i]:g} {unit}".rstrip()}
        named |= {"level": f"{values[i]:g} {unit or dim}"}
        yield array.isel({dim: i}, drop=True).rename(f"{array.name}_{values[i]:g}").assign_attrs(named)


def _one_level(array: xr.DataArray, file: xr.Dataset, single: list[str]) -> str | None:
    """The level of a variable that has one, as "850 hPa"; None where it has none, or where several are named."""
    said = file[array.name].encoding.get("coordinates")
    scalar = [n for n in find(file, "level") if n in array.coords and not file[n].ndim]
    scalar = [n for n in scalar if said is None or n in said.split()]
    named = [n for n in (*scalar, *single) if n in file.coords and file[n].dtype.kind in "fiu"]
    named = [n for n in named if role(n, file) == "level"]
    if len(named) != 1:
        return None
    values, unit = _level_values(file, named[0])
    return f"{values[0]:g} {unit or named[0]}"


def _level_values(file: xr.Dataset, dim: str) -> tuple[np.ndarray, str]:
    """Levels and their unit, pressures in hPa; numbers from 0 where there is no coordinate."""
    if dim not in file.coords or file[dim].dtype.kind not in "fiu":
        return np.arange(file.sizes[dim], dtype=float), ""
    unit = str(file[dim].attrs.get("units", ""))
    values = np.atleast_1d(np.asarray(file[dim].values, float))
    if unit == "Pa":
        return values / 100, "hPa"
    if unit in ("", "1") and values.max() > 2000 and dim.lower() in PRESSURE:
        return values / 100, "hPa"  # as the CF conventions have it
    silent = unit in ("", "1") and 100 < values.max() <= 1100 and values.min() > 0  # levels of pressure
    return values, "hPa" if silent or unit.lower() in ("millibars", "mbar", "mb", "hpa") else unit
