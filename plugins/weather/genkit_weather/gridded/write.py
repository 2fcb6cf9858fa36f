"""Weather data as a data set of xarray."""

from typing import Any

import numpy as np
import xarray as xr

from genkit_weather.data import Series, WeatherData


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
