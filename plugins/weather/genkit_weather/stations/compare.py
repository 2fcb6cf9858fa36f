"""Forecasts at stations and the observations that they are compared with."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.area import Method, Places
from genkit_weather.gridded import convert, factor
from genkit_weather.stations.observations import read_stations
from genkit_weather.stations.wind import wind_components
from genkit_weather.verification import lead_hours

SPEED, DIRECTION = "wind_speed", "wind_direction"  # how a file calls them
TEMPERATURE = r"temperature|^2?t(2m|_2m|2|mp2|as)?$"
OTHER = r"_?\d{2,}$|hPa|dew|soil|sea|skin|surface_temperature|potential|difference"  # falls otherwise with height
EAST = re.compile(r"(^|_)u(?=_|\d|$)")  # u10, u_sfc, 10m_u_component_of_wind


@dataclass(frozen=True)
class InSitu:
    """Verification against observations of stations."""

    file: Path | None = None
    """observations: CSV (station, time, lat, lon or x, y, variables as `t2m [degC]`) or NetCDF (station, time)"""
    method: Method = "bilinear"
    """interpolation of the forecast to the stations"""
    thresholds: tuple[tuple[str, float], ...] = ()
    """events whose equitable threat and Brier scores are reported, as `wind_speed 17.2`, in the model's units; by
    default the 50, 75 and 90 % quantiles of the observations"""
    lapse: float = 6.5
    """K by which air temperatures fall in a km of height from the model's surface to a station, where both say how high
    they lie; 0 leaves them as they are"""
    wind: tuple[str, str] | None = None
    """the model's eastward and northward wind at the height of the stations; found where it has one pair only"""

    def __post_init__(self) -> None:
        """The lapse rate is a fall."""
        if not 0 <= self.lapse < np.inf:
            raise UsageError(f"lapse={self.lapse} K a km; expected 0 or more, 6.5 as in the standard atmosphere")


def observed(options: InSitu, forecast: xr.Dataset, frame: tuple[int, int] = (0, 0)) -> xr.Dataset:
    """Observations (start, lead, station) at the valid times of a forecast, in its names and units.

    Wind speed and direction (`wind_speed`, `wind_direction`) become the model's components, and `wind_speed` is
    compared too. Stations count whose interpolation takes nothing from outside the domain or from its frame, and
    of their times those that have all variables (the rest is NaN). Coordinates `row` and `column` are the
    (fractional) places of the stations; attribute `notes` tells what is left out, `wind` the pair of components.

    Raises:
        DataError: unknown units or names, no station in the domain, no observation at these times.
    """
    if options.file is None:
        raise UsageError("no file of stations; give --stations.file FILE")
    file = read_stations(options.file)
    source = str(file.attrs["source"])
    fields, wind = _fields(file, forecast, options, source)
    file, notes = _inside(file, forecast, frame, source)
    start = forecast["start"].values.astype("datetime64[s]")
    lead = np.rint(lead_hours(forecast) * 3600).astype("timedelta64[s]")
    valid = start[:, None] + lead
    row = pd.Index(file["time"].values).get_indexer(valid.ravel()).reshape(valid.shape)
    taken = {
        name: np.where((row >= 0)[..., None], a[row], np.nan)[..., file["kept"].values] for name, a in fields.items()
    }
    complete = np.all([np.isfinite(a) for a in taken.values()], axis=0)
    if not complete.any():
        times = file["time"].values
        raise DataError(
            f"{source}: no station has {', '.join(fields)} at a valid time of the forecast, {valid.min()} to "
            f"{valid.max()}; its {len(times)} times are {times.min()} to {times.max()} UTC"
        )
    here = file.isel(station=file["kept"].values)
    coords = {n: ("station", here[n].values) for n in ("station", "row", "column")}
    warm = [n for n in taken if n in forecast and _temperature(forecast[n])]
    if options.lapse and warm and "elevation" in here.coords and "surface_altitude" in forecast.coords:
        # the surface as the forecast is interpolated, so that both belong to the same place
        place = np.stack([here["row"].values, here["column"].values], -1)
        cells, weights = Places.of(forecast).corners(place, options.method)
        surface = (forecast["surface_altitude"].transpose("y", "x").values.ravel()[cells] * weights).sum(-1)
        fall = -options.lapse / 1000 * (here["elevation"].values - surface)
        coords["correction"] = ("station", np.nan_to_num(fall))  # a station of unknown height stays
        count = int(np.isfinite(fall).sum())
        notes = [*notes, f"elevation: {', '.join(warm)} at {count} stations corrected by {options.lapse:g} K a km"]
    arrays = {
        n: (("start", "lead", "station"), np.where(complete, a, np.nan), _attrs(forecast, n, wind))
        for n, a in taken.items()
    }
    coords |= {"start": forecast["start"].values, "lead": lead_hours(forecast)}
    attrs = {"notes": notes, "wind": wind, "source": source, "count": int(complete.sum())}
    return xr.Dataset(arrays, coords, attrs)


def at_stations(forecast: xr.Dataset, observations: xr.Dataset, method: Method = "bilinear") -> xr.Dataset:
    """A forecast (start, lead, member, station) of the observed variables at their stations."""
    place = np.stack([observations["row"].values, observations["column"].values], -1)
    cells, weights = Places.of(forecast).corners(place, method)
    wind = observations.attrs["wind"]
    names = [n for n in map(str, observations.data_vars) if n in forecast]
    pair = list(wind) if wind and SPEED in observations and SPEED not in forecast else []
    fields = {}
    for name in dict.fromkeys([*names, *pair]):
        field = forecast[name] if "member" in forecast[name].dims else forecast[name].expand_dims("member")
        field = field.transpose("start", "lead", "member", "y", "x")
        parts = []
        for i in range(field.sizes["start"]):  # one start at a time, as files may be larger than memory
            values = field.isel(start=i).values
            flat = values.reshape(*values.shape[:-2], -1)
            parts.append(np.einsum("...nk,nk->...n", flat[..., cells], weights))
        fields[name] = np.stack(parts)
        if "correction" in observations.coords and _temperature(forecast[name]):
            fields[name] = fields[name] + observations["correction"].values
    if pair:  # interpolation comes first: the speed of a mean wind would be too low between opposite winds
        fields[SPEED] = np.hypot(*(fields[n] for n in pair))
    coords = {n: observations[n] for n in ("station", "start", "lead")}
    kept = {
        n: (("start", "lead", "member", "station"), fields[n], observations[n].attrs) for n in observations.data_vars
    }
    return xr.Dataset(kept, coords)


def _temperature(field: xr.DataArray) -> bool:
    """Whether a variable is a temperature in K or degrees Celsius near the surface, by its names and its unit."""
    attrs = field.attrs
    named = [str(attrs.get("standard_name", "")), str(attrs.get("long_name", "")), str(field.name)]
    near = "level" not in attrs and not re.search(OTHER, " ".join(named), re.IGNORECASE)
    try:
        kelvin = factor(str(attrs.get("units", "")), "K", str(field.name))[0] == 1
    except DataError:
        return False
    return near and kelvin and any(re.search(TEMPERATURE, n, re.IGNORECASE) for n in named)


def wind_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of variables whose names differ by u and v alone."""
    pairs = [(name, EAST.sub(r"\1v", name)) for name in names]
    return [(u, v) for u, v in pairs if u != v and v in names]


def _fields(
    file: xr.Dataset, forecast: xr.Dataset, options: InSitu, source: str
) -> tuple[dict[str, np.ndarray], tuple[str, str] | None]:
    """Observations (time, station) by the model's names in its units, and its pair of winds."""
    known = [str(n) for n in forecast.data_vars]
    wind = _wind(options, known)
    fields = {n: _converted(file, n, forecast[n].attrs.get("units", ""), source) for n in known if n in file}
    if SPEED in file and SPEED not in known:
        if wind is None:
            pairs = ", ".join(" ".join(p) for p in wind_pairs(known)) or "none"
            raise UsageError(f"{source} has {SPEED}; which wind of the model is it? Pairs are: {pairs}; give wind")
        speed = _converted(file, SPEED, forecast[wind[0]].attrs.get("units", ""), source)
        if DIRECTION in file:
            direction = _converted(file, DIRECTION, "degree", source)
            fields |= dict(zip(wind, wind_components(speed, direction), strict=True))
        fields[SPEED] = speed
    elif wind is not None and set(wind) <= set(fields):
        fields[SPEED] = np.hypot(*(fields[n] for n in wind))
    if not fields:
        raise DataError(
            f"{source}: none of its variables ({', '.join(map(str, file.data_vars))}) is one of the model's "
            f"({', '.join(known)}); name the columns as the model does"
        )
    return fields, wind


def _wind(options: InSitu, known: list[str]) -> tuple[str, str] | None:
    if options.wind is not None:
        for name in options.wind:
            if name not in known:
                raise UsageError(f"wind: the model has no variable {name}; it has {', '.join(known)}")
        return options.wind
    pairs = wind_pairs(known)
    return pairs[0] if len(pairs) == 1 else None


def _converted(file: xr.Dataset, name: str, units: str, source: str) -> np.ndarray:
    return convert(file[name].values, str(file[name].attrs["units"]), units, f"{source}: {name}")


def _attrs(forecast: xr.Dataset, name: str, wind: tuple[str, str] | None) -> dict[str, str]:
    if name in forecast:
        return dict(forecast[name].attrs)
    return {"units": forecast[wind[0]].attrs.get("units", "") if wind else "", "long_name": "wind speed"}


def _inside(
    file: xr.Dataset, forecast: xr.Dataset, frame: tuple[int, int], source: str
) -> tuple[xr.Dataset, list[str]]:
    """The file with `row`, `column` and whether a station is `kept`, and what is left out."""
    geographic = "latitude" in file.coords
    first, second = (file[n].values for n in (("latitude", "longitude") if geographic else ("y", "x")))
    place = Places.of(forecast).locate(first, second, geographic)
    outside = np.isnan(place).any(-1)
    low, high = np.array(frame), np.array([forecast.sizes["y"], forecast.sizes["x"]]) - 1 - np.array(frame)
    framed = ~outside & ((place < low) | (place > high)).any(-1)
    notes = []
    for which, where in ((outside, "outside the domain"), (framed, "in its frame, where values are given")):
        names = file["station"].values[which]
        if len(names):
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            notes.append(f"{source}: left out, {where}: {', '.join(names[:5])}{more}")
    kept = ~outside & ~framed
    if not kept.any():
        raise DataError(f"no station is in the interior of the domain; {'; '.join(notes)}")
    labels = {"row": place[:, 0], "column": place[:, 1], "kept": kept}
    return file.assign_coords({n: ("station", a) for n, a in labels.items()}), notes
