"""Weather data as a data set of xarray."""

from typing import Any

import numpy as np
import xarray as xr

from genkit_weather.data import Series, WeatherData
from genkit_weather.gridded.wind import EARTH, GRID, found


def to_xarray(data: WeatherData, series: Series) -> xr.Dataset:
    """A series with its forcing as a data set: what `genkit weather-forecast` reads."""
    fields: dict[str, Any] = {
        name: (("time", "y", "x"), np.asarray(series.state[..., v]), {"units": unit, "long_name": long})
        for v, (name, unit, long) in enumerate(zip(data.names, data.units, data.long_names, strict=True))
    }
    units = data.forcing_units or ("",) * len(data.forcing_names)
    for f, (name, unit) in enumerate(zip(data.forcing_names, units, strict=True)):
        values, attrs = np.asarray(series.forcing[..., f]), {"units": unit} if unit else {}
        uniform = values.shape[1:] == (1, 1)
        fields[name] = (("time",), values[:, 0, 0], attrs) if uniform else (("time", "y", "x"), values, attrs)
    coords: dict[str, Any] = {"time": series.time.astype("datetime64[ns]")}
    coords |= {n: ((n,), a, {"units": "km"}) for n, a in (("y", data.y), ("x", data.x)) if a is not None}
    coords |= {n: (("y", "x"), a) for n, a in (("latitude", data.lat), ("longitude", data.lon)) if a is not None}
    file = xr.Dataset(fields, coords)
    axes = {"grid": GRID, "earth": EARTH}.get(data.wind)
    for pair in found(file) if axes else ():
        for name, standard in zip(pair, axes or (), strict=True):
            file[name].attrs["standard_name"] = standard
    return file
