"""Files of station observations, CSV or NetCDF, as one Dataset (time, station)."""

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from genkit.errors import DataError
from genkit.files import text_of
from genkit_weather.gridded import convert

ERROR = " error"  # ends the name of what holds the errors of a variable
LAT, LON = ("lat", "latitude"), ("lon", "longitude")
HEIGHT = ("elevation", "altitude", "height", "surface_altitude")  # of stations, m
NAMES = {
    "station": ("station_id", "site", "id", "wmo", "wmo_id"),
    "time": ("date", "datetime", "valid", "valid_time", "timestamp"),
    "lat": ("latitude",),
    "lon": ("longitude", "long"),
}
NONE = ("m", "-", "--", "---", "*", "/", "missing", "none", "null", "nan", "na", "n/a", "#n/a")  # no value, in any case
FILLS = (-99.9, -999.0, -999.9, -9999.0, -9999.9, -99999.0)  # numbers that stand for none
SEPARATORS = (",", ";", "\t", "|")
COLUMN = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>.*)\]$")


def read_stations(path: Path) -> xr.Dataset:
    """Observations (time, station) with attribute `units`, NaN where there is none.

    Coordinates are `station`, `time` (UTC), and `latitude` and `longitude` in degrees or `y` and `x` in km, and
    `elevation` in m where the file has a column or a coordinate of this name (or altitude, height).

    A CSV file has a line for each station and time: columns station, time, lat and lon (or x and y in km), and one
    for each variable with its unit in brackets, as `t2m [degC]`; an empty cell is a missing value, and so are those of
    `NONE` and `FILLS`. Cells are separated by commas, semicolons (10,5 is a number then), tabs or bars. A column
    `t2m error` has the standard deviations of the errors of another, in its unit. A NetCDF file has variables
    (station, time) with `units` and the places as coordinates of its stations.

    Raises:
        DataError: what is wrong, in one line.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"{path}: no such file of stations")
    found = _read_csv(path) if _is_table(path) else _read_netcdf(path)
    for name in ("latitude", "longitude") if "latitude" in found.coords else ("x", "y"):
        bad = ~np.isfinite(found[name].values.astype(float))
        if bad.any():
            raise DataError(f"{path}: station {found['station'].values[bad][0]} has no {name}")
    for name, array in found.data_vars.items():
        if (at := np.argwhere(np.isinf(array.values))).size:
            raise DataError(f"{path}: {name} of station {found['station'].values[at[0][1]]} is infinite")
    if not found.data_vars or not found.sizes["station"]:
        raise DataError(f"{path}: {'no line of observations' if found.data_vars else 'no variable, as t2m [degC]'}")
    if "latitude" in found.coords and (np.abs(found["latitude"]) > 90).any():
        raise DataError(f"{path}: a latitude is beyond 90 degrees; are lat and lon exchanged?")
    return found.sortby("time").assign_attrs(source=path.name)


def _read_csv(path: Path) -> xr.Dataset:
    text = text_of(path, "a CSV table of stations")
    above = re.match(r"(#.*\n|\s*\n)*", text)[0]  # type: ignore[index]
    head = text[len(above) :].partition("\n")[0]
    separator = max(SEPARATORS, key=head.count)
    table = _named(_cells(text[len(above) :], separator, path))
    table.index += 2 + above.count("\n")  # lines
    table = table.dropna(how="all").apply(lambda c: c if c.name == "station" else c.mask(c.str.lower().isin(NONE)))
    if separator == ";":
        table = table.apply(lambda c: c if c.name in ("station", "time") else c.str.replace(",", "."))
    place = ["lat", "lon"] if "lat" in table else ["y", "x"]
    high = next((c for c in table.columns if COLUMN.sub(r"\g<name>", c).lower() in HEIGHT), None)
    for column in ("station", "time", *place):
        if column not in table:
            raise DataError(f"{path}: column {column} is missing; needed are station, time, and lat, lon or x, y (km)")
    if (bare := table["station"].isna()).any():
        raise DataError(f"{path}: line {bare.idxmax()}: no station")
    for column in (*place, *([] if high is None else [high])):
        table[column] = _numbers(table[column], path)
    time: Any = pd.to_datetime(table["time"].map(_iso), utc=True, errors="coerce", format="ISO8601")
    if time.isna().any():
        row = time.isna().idxmax()
        raise DataError(f"{path}: line {row}: {table['time'][row]!r} is no time; write 2020-02-09T12:00")
    table["time"] = time.dt.tz_localize(None).astype("datetime64[s]")
    twice = table.duplicated(["station", "time"])
    if twice.any():
        row = twice.idxmax()
        raise DataError(f"{path}: line {row}: station {table['station'][row]} has {table['time'][row]} a second time")
    moved = table.groupby("station")[place].nunique().max(axis=1) > 1
    if moved.any():
        raise DataError(f"{path}: station {moved.idxmax()} has two places; give each place a name of its own")
    fields, units = {}, {n["name"]: n["unit"].strip() for n in map(COLUMN.match, table.columns) if n}
    for column in table.columns.difference(["station", "time", *place, high], sort=False):
        named: Any = COLUMN.match(column)
        if not named and column.endswith(ERROR) and column.removesuffix(ERROR) in units:
            named = {"name": column, "unit": units[column.removesuffix(ERROR)]}
        if not named:
            raise DataError(f"{path}: column {column!r} has no unit; write it in brackets, as {column} [degC]")
        values = _numbers(table[column], path)
        grid = table.assign(value=values.mask(values.isin(FILLS))).pivot(
            index="time", columns="station", values="value"
        )
        fields[named["name"]] = (("time", "station"), grid.to_numpy(float), {"units": named["unit"].strip()})
    spots = table.groupby("station")[place].first()
    coords = {"time": np.sort(table["time"].unique()), "station": spots.index.to_numpy(str)}
    names = ("latitude", "longitude") if place[0] == "lat" else ("y", "x")
    places = {name: ("station", spots[column].to_numpy(float)) for name, column in zip(names, place, strict=True)}
    if high is not None:
        places["elevation"] = ("station", _heights(table.groupby("station")[high].first(), high, path))
    return xr.Dataset(fields, {**coords, **places})


def _cells(text: str, separator: str, path: Path) -> Any:
    """The cells of all lines as text, NaN where they are empty; separators at the ends of lines count for nothing."""
    how: Any = {"sep": separator, "dtype": str, "skipinitialspace": True, "skip_blank_lines": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(io.StringIO(text), index_col=False, na_values=[""], keep_default_na=False, **how)
    except pd.errors.ParserWarning:
        raise DataError(f"{path}: lines have more cells than the first; is {separator!r} a decimal sign too?") from None
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{path}: not a readable CSV file ({str(error).splitlines()[0]})") from None


def _is_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def _named(table: Any) -> Any:
    """With the names of this page for columns that are spelled as in `NAMES`, and without empty columns."""
    table = table.rename(columns=lambda c: c.strip())
    table = table.drop(columns=[c for c in table if c.startswith("Unnamed:") and table[c].isna().all()])
    known = {spelling: name for name, others in NAMES.items() for spelling in (name, *others)}
    named = {c: known[c.lower()] for c in table if c.lower() in known}
    return table.rename(columns={c: n for c, n in named.items() if n not in table and [*named.values()].count(n) == 1})


def _iso(time: Any) -> Any:
    """2020020912, with minutes or seconds, which pandas takes for a year, with the T that it needs."""
    return re.sub(r"^((?:19|20)\d{6})(\d\d|\d{4}|\d{6})$", r"\1T\2", time.strip()) if isinstance(time, str) else time


def _numbers(texts: Any, path: Path) -> Any:
    """Numbers of a column by line, NaN where there is none."""
    values: Any = pd.to_numeric(texts, errors="coerce")
    bad = values.isna() & texts.notna()
    if bad.any():
        row = bad.idxmax()
        raise DataError(f"{path}: line {row}: {texts.name} is {texts[row]!r}; expected a number or nothing")
    return values


def _heights(values: Any, column: str, path: Path) -> np.ndarray:
    """Elevations of stations in m of a column, which may say its unit in brackets."""
    named = COLUMN.match(column)
    return convert(
        values.mask(values.isin(FILLS)).to_numpy(float),
        named["unit"].strip() if named else "m",
        "m",
        f"{path}: {column}",
    )


def _read_netcdf(path: Path) -> xr.Dataset:
    try:
        with xr.open_dataset(path) as file:
            file = file.load()
    except Exception as error:  # engines raise what they like
        reason = (str(error).splitlines() or [""])[0][:100]
        raise DataError(f"{path}: not a readable NetCDF file ({reason}); tables end in .csv, .tsv or .txt") from None
    for name in ("station", "time"):
        if name not in file.dims:
            raise DataError(f"{path}: dimension {name} is missing; it has {', '.join(map(str, file.sizes))}")
    if "time" not in file.coords or file["time"].dtype.kind != "M":
        raise DataError(f"{path}: time must be a coordinate of dates")
    file = file.set_coords([n for n in (*LAT, *LON, "x", "y") if n in file])
    file = file.rename({a: b for a, b in ((LAT[0], LAT[1]), (LON[0], LON[1])) if a in file.coords})
    pairs = [pair for pair in (("latitude", "longitude"), ("y", "x")) if all(n in file.coords for n in pair)]
    if not pairs or any(file[n].dims != ("station",) for n in pairs[0]):
        raise DataError(f"{path}: the stations have no latitude and longitude, nor x and y (km)")
    names = [n for n, a in file.data_vars.items() if set(a.dims) == {"station", "time"}]
    for name in names:
        if "units" not in file[name].attrs:
            raise DataError(f"{path}: variable {name} has no attribute units")
    high = next((n for n in HEIGHT if n in file.variables and file[n].dims == ("station",)), None)
    time = file["time"].values.astype("datetime64[s]")
    if len(np.unique(time)) < len(time):
        raise DataError(f"{path}: a time stands twice")
    labels = file["station"].values if "station" in file.coords else np.arange(file.sizes["station"])
    fields = {
        str(n): (("time", "station"), file[n].transpose("time", "station").values.astype(float), file[n].attrs)
        for n in names
    }
    places = {n: ("station", file[n].values.astype(float)) for n in pairs[0]}
    if high is not None:
        unit = str(file[high].attrs.get("units", "m"))
        places["elevation"] = ("station", convert(file[high].values.astype(float), unit, "m", f"{path}: {high}"))
    return xr.Dataset(fields, {"time": time, "station": labels.astype(str), **places})
