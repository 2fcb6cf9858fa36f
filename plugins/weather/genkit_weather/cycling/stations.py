"""Observations of a file for the interior of an area: stations, quantities, errors, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.area import Places
from genkit_weather.assimilation import ARCTAN, EXCEEDS, Climate, Network, Observed, Quantity, quantity
from genkit_weather.data import WeatherData
from genkit_weather.gridded import convert
from genkit_weather.stations import ERROR, read_stations, wind_pairs


def read_network(
    path: Path, data: WeatherData, climate: Climate, error: float, blacklist: Sequence[str] = ()
) -> tuple[Network, dict[np.datetime64, Observed]]:
    """The stations of a file and what they observed at each of its times.

    Args:
        path: see `genkit_weather.stations.read_stations`; variables are those of the data, `wind_speed`, or what
            `quantity` reads.
        data: of whose interior the stations are; anything with its grid, places, names and units.
        climate: of it.
        error: standard deviation of observations whose errors the file does not tell, in std of their variable.
        blacklist: stations to leave out.

    Raises:
        DataError, UsageError: a station outside the interior, a unit or a variable that is not known, an error that is
            not positive, no station.
    """
    file = read_stations(path)
    file = _kept(file, blacklist, path)
    place = _places(file, data, path)
    names = [str(n) for n in file.data_vars if not str(n).endswith(ERROR)]
    pairs = wind_pairs(data.names)
    wind = pairs[0] if len(pairs) == 1 else None
    try:
        quantities = tuple(quantity(n, data.names, wind) for n in names)
    except UsageError as wrong:
        raise DataError(f"{path}: {wrong}") from None
    if not quantities:
        raise DataError(f"{path} has no variables; give columns such as {data.names[0]} [{data.units[0]}]")
    units = [_unit(q, data.units) for q in quantities]
    y = np.stack([_values(file, n, u, path) for n, u in zip(names, units, strict=True)], -1)
    size = np.stack(
        [_errors(file, n, q, u, error * float(climate.std[q.first]), path)
         for n, q, u in zip(names, quantities, units, strict=True)], -1
    )  # fmt: skip
    network = Network(climate.shape, place, quantities, climate.mean, climate.std, tuple(file["station"].values))
    times = file["time"].values.astype("datetime64[s]")
    seen = {t: (a, b) for t, a, b in zip(times, y, size, strict=True) if np.isfinite(a).any()}
    return network, {t: network.observed(*both) for t, both in seen.items()}


def _kept(file: xr.Dataset, blacklist: Sequence[str], path: Path) -> xr.Dataset:
    known = list(map(str, file["station"].values))
    for name in blacklist:
        if name not in known:
            raise UsageError(f"blacklist: {path} has no station {name}; it has {', '.join(known[:8])}")
    kept = [i for i, name in enumerate(known) if name not in blacklist]
    if not kept:
        raise DataError(f"{path}: all stations are on the blacklist")
    return file.isel(station=kept)


def _places(file: xr.Dataset, data: WeatherData, path: Path) -> np.ndarray:
    """(S, 2) rows and columns of the interior."""
    geographic = "latitude" in file.coords
    first, second = (file[n].values for n in (("latitude", "longitude") if geographic else ("y", "x")))
    place = Places.of(data).locate(first, second, geographic) - np.array(data.frame)
    high = np.array(data.grid) - 1 - 2 * np.array(data.frame)
    outside = ~((place >= -1e-9) & (place <= high + 1e-9)).all(-1)
    if outside.any():
        names = file["station"].values[outside]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise DataError(
            f"{path}: {', '.join(map(str, names[:3]))}{more} outside the interior of {data.source}; leave them out "
            "of the file, or put them on the blacklist"
        )
    return np.clip(place, 0, high)


def _unit(q: Quantity, units: Sequence[str]) -> str:
    return "1" if q.kind in (ARCTAN, EXCEEDS) else units[q.first]


def _values(file: xr.Dataset, name: str, unit: str, path: Path) -> np.ndarray:
    """(T, S) in the model's unit."""
    said = str(file[name].attrs["units"])
    values = file[name].transpose("time", "station").values
    return values if said in ("", "1") and unit == "1" else convert(values, said, unit, f"{path}: {name}")


def _errors(file: xr.Dataset, name: str, q: Quantity, unit: str, default: float, path: Path) -> np.ndarray:
    """(T, S) standard deviations in the model's unit: a difference of units, so that degC are as K."""
    shape = file.sizes["time"], file.sizes["station"]
    told: Any = file[name].attrs.get("error")
    if f"{name}{ERROR}" in file:
        told = file[f"{name}{ERROR}"].transpose("time", "station").values
    if told is None:
        if q.kind == ARCTAN:
            raise DataError(f"{path}: {name} needs its errors, in a column {name}{ERROR}")
        return np.full(shape, default)
    told = np.broadcast_to(np.asarray(told, float), shape)
    missing = np.isnan(told) & np.isfinite(file[name].transpose("time", "station").values)
    if missing.any() or (told[np.isfinite(told)] <= 0).any():
        row, station = np.argwhere(missing | (told <= 0))[0]
        where = f"of station {file['station'].values[station]} at {file['time'].values[row].astype('datetime64[m]')}"
        what = "is missing" if missing[row, station] else f"is {told[row, station]:g}"
        raise DataError(f"{path}: the error of {name} {where} {what}; expected a positive number")
    said = str(file[name].attrs["units"])
    if q.kind in (ARCTAN, EXCEEDS) or said in ("", "1"):
        return told
    return convert(told, said, unit, f"{path}: {name}") - convert(np.zeros_like(told), said, unit, f"{path}: {name}")
