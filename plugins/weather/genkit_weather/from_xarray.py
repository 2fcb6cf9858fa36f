"""Own data: an xarray data set on a grid as `WeatherData`, and back."""

from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.area import NAMES, angles, standard_forcing
from genkit_weather.data import Series, WeatherData, check

LAT, LON = ("lat", "latitude"), ("lon", "longitude")


def from_xarray(
    file: xr.Dataset, frame: int = 4, split: tuple[float, float] = (0.7, 0.1), source: str = "own data"
) -> WeatherData:
    """Weather data of the variables (time, row, column) of a data set, such as one read from NetCDF.

    Variables (row, column) become static fields. Rows and columns are latitudes and longitudes, or `y` and `x`
    (in km, or m where their units say so). Times are equidistant; the first share `split[0]` of them is for
    training, the next `split[1]` for validation, the rest for the test. Forcing is computed: the hour and the
    year as angles, and sunshine where latitudes and longitudes are known.

    Args:
        file: the data set; attributes `units` and `long_name` of its variables are kept.
        frame: cells on each side whose values are given, not predicted.
        split: shares of training and validation.
        source: how errors name the data.

    Raises:
        DataError: missing or strange dimensions, unequal time steps, NaN.
    """
    if not 0 < split[0] < 1 or not 0 < split[1] < 1 - split[0]:
        raise UsageError(f"split={split} must be two positive shares whose sum is below 1")
    names = [str(n) for n, a in file.data_vars.items() if "time" in a.dims]
    if not names:
        raise DataError(f"{source}: no variable has a dimension 'time'; found {_dims(file)}")
    rows, columns = horizontal(file, names[0], source)
    state = stack(file, names, ("time", rows, columns), source)
    time = times(file, source)
    h, w = state.shape[1:3]
    lat, lon = place(file, LAT, (rows, columns)), place(file, LON, (rows, columns))
    fixed = [str(n) for n, a in file.data_vars.items() if set(a.dims) == {rows, columns}]
    if lat is not None and lon is not None:
        forcing, forcing_names = standard_forcing(time, lat, lon), NAMES
        static, static_names = [lat, lon], ["lat", "lon"]
    else:
        forcing, forcing_names = angles(time)[:, None, None].astype(np.float32), NAMES[1:]
        static, static_names = list(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")), ["row", "column"]
    fields = np.stack(static, -1)
    if fixed:
        fields = np.concatenate([fields, stack(file, fixed, (rows, columns), source)], -1)
    n = len(time)
    ends = [0, round(split[0] * n), round((split[0] + split[1]) * n), n]
    parts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    train, val, test = ((Series(state[p], forcing[p], time[p]),) for p in parts)
    return check(
        WeatherData(
            *(train, val, test),
            static=fields.astype(np.float32),
            frame=(frame, frame),
            names=tuple(names),
            units=tuple(str(file[n].attrs.get("units", "1")) for n in names),
            long_names=tuple(str(file[n].attrs.get("long_name", n)) for n in names),
            forcing_names=forcing_names,
            static_names=(*static_names, *fixed),
            step_hours=float((time[1] - time[0]) / np.timedelta64(3600, "s")),
            lat=lat,
            lon=lon,
            x=kilometres(file, "x"),
            y=kilometres(file, "y"),
            diurnal=bool(time[1] - time[0] < np.timedelta64(86400, "s")),
            source=source,
        )
    )


def to_xarray(data: WeatherData, series: Series) -> xr.Dataset:
    """A series with its forcing as a data set: what `genkit weather-forecast` reads."""
    fields: dict[str, Any] = {
        name: (("time", "y", "x"), np.asarray(series.state[..., v]), {"units": unit, "long_name": long})
        for v, (name, unit, long) in enumerate(zip(data.names, data.units, data.long_names, strict=True))
    }
    for f, name in enumerate(data.forcing_names):
        values = np.asarray(series.forcing[..., f])
        uniform = values.shape[1:] == (1, 1)
        fields[name] = (("time",), values[:, 0, 0], {}) if uniform else (("time", "y", "x"), values, {})
    coords: dict[str, Any] = {"time": series.time.astype("datetime64[ns]")}
    coords |= {n: ((n,), a, {"units": "km"}) for n, a in (("y", data.y), ("x", data.x)) if a is not None}
    coords |= {n: (("y", "x"), a) for n, a in (("latitude", data.lat), ("longitude", data.lon)) if a is not None}
    return xr.Dataset(fields, coords)


def _dims(file: xr.Dataset) -> str:
    return ", ".join(f"{name} {tuple(a.dims)}" for name, a in file.data_vars.items()) or "no variables"


def horizontal(file: xr.Dataset, name: str, source: str) -> tuple[Any, Any]:
    """The dimensions of rows and columns: known names in either order, else the order of the first variable."""
    others = [d for d in file[name].dims if d != "time"]
    if len(others) != 2:
        raise DataError(f"{source}: variable {name} has dimensions {file[name].dims}; expected time, rows and columns")
    return tuple(reversed(others)) if others[1] in (*LAT, "y") else tuple(others)  # type: ignore[return-value]


def stack(file: xr.Dataset, names: list[str], dims: tuple[Any, ...], source: str) -> np.ndarray:
    """(*dims, variable) float32."""
    for name in names:
        if set(file[name].dims) != set(dims):
            raise DataError(f"{source}: variable {name} has dimensions {file[name].dims}, expected {dims}; drop it")
    return np.stack([file[n].transpose(*dims).values for n in names], -1).astype(np.float32)


def times(file: xr.Dataset, source: str, least: int = 10) -> np.ndarray:
    """(T,) datetime64[s], equidistant, at least so many."""
    if "time" not in file.coords or file["time"].dtype.kind != "M":
        raise DataError(f"{source}: time must be a coordinate of dates (datetime64); decode or assign it")
    time = file["time"].values.astype("datetime64[s]")
    steps = np.diff(time)
    if len(time) < least or (steps != steps[0]).any() or steps[0] <= np.timedelta64(0):
        at = int(np.argmax(steps != steps[0])) + 1 if len(steps) else 0
        raise DataError(
            f"{source}: {len(time)} times, the step changes at index {at}; expected at least {least} at one step"
        )
    return time


def place(file: xr.Dataset, names: tuple[str, ...], dims: tuple[Any, Any]) -> np.ndarray | None:
    """(H, W) latitudes or longitudes in degrees, where the data set has them."""
    name = next((n for n in names if n in file.coords), None)
    if name is None or not set(file[name].dims) <= set(dims) or not file[name].dims:
        return None
    grid = xr.DataArray(np.zeros([file.sizes[d] for d in dims]), dims=dims)
    return np.asarray(file[name].broadcast_like(grid).transpose(*dims))


def kilometres(file: xr.Dataset, name: str) -> np.ndarray | None:
    """The coordinate `x` or `y` in km, where the data set has it."""
    if name not in file.coords or file[name].dims != (name,):
        return None
    return file[name].values.astype(float) / (1000 if file[name].attrs.get("units") == "m" else 1)
