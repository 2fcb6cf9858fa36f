"""Stations made from the truth of a data set, with errors that are known."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import GenkitError
from genkit_weather.area import Places
from genkit_weather.data import Series, WeatherData


def synthetic_stations(data: WeatherData, series: Series, count: int, error: float = 0.1, seed: int = 0) -> xr.Dataset:
    """Observations (time, station) of a series at random places in the interior, bilinear between cells.

    Normal errors of `error` standard deviations of each variable (over this series), independent in all; the error
    in units of the variable is its attribute `error`.
    """
    rng = np.random.default_rng(seed)
    (h, w), frame = data.grid, np.array(data.frame)
    place = frame + rng.random((count, 2)) * (np.array([h, w]) - 1 - 2 * frame)
    grid = Places.of(data)
    cells, weights = grid.corners(place, "bilinear")

    def at(field: np.ndarray) -> np.ndarray:
        return np.einsum(
            "...nk,nk->...n", np.asarray(field, float).reshape(*field.shape[:-2], h * w)[..., cells], weights
        )

    if grid.lat is not None and grid.lon is not None:
        coords = {"latitude": at(grid.lat), "longitude": at(grid.lon)}
    else:
        middle = grid.kilometres(False).reshape(h, w, 3)
        coords = {"y": at(middle[..., 1]), "x": at(middle[..., 0])}
    fields = {}
    for v, name in enumerate(data.names):
        true = at(np.asarray(series.state[..., v]))
        size = error * float(np.std(true))
        values = true + size * rng.standard_normal(true.shape)
        fields[name] = (("time", "station"), values, {"units": data.units[v], "error": size})
    places = {n: ("station", a) for n, a in coords.items()}
    return xr.Dataset(fields, {"time": series.time, "station": [f"S{i + 1:03d}" for i in range(count)], **places})


def write_stations(stations: xr.Dataset, path: Path) -> None:
    """Write stations as `read_stations` reads them: .csv, else NetCDF."""
    try:
        if Path(path).suffix != ".csv":
            stations.to_netcdf(path, engine="h5netcdf")
            return
        table: Any = stations.to_dataframe().reset_index()
        units = {n: f"{n} [{a.attrs['units']}]" for n, a in stations.data_vars.items()}
        first = [n for n in ("station", "time", "latitude", "longitude", "y", "x") if n in table]
        table[[*first, *units]].rename(columns=units).to_csv(path, index=False)
    except OSError as error:
        raise GenkitError(f"cannot write {path}: {error}; choose another place") from error
