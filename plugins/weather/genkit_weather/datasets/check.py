"""`genkit weather-check`: what a file of gridded data is understood to hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from genkit.errors import UsageError
from genkit_weather.datasets import Own

if TYPE_CHECKING:
    import xarray as xr

    from genkit_weather.data import WeatherData


@dataclass(frozen=True)
class Options:
    """Print how `--data weather.own` understands a file: variables, grid, times, splits, and what is wrong.

    Reads what a training would, and trains nothing. What is refused ends with exit code 1 and the reason.
    """

    data: Own = field(default_factory=Own)
    """Options of the data set, as --data.mask True."""


@dataclass(frozen=True)
class WeatherCheck:
    """Tell how a file of gridded data is understood."""

    path: str
    data: Own = field(default_factory=Own)

    @classmethod
    def parse(cls, words: list[str]) -> WeatherCheck:
        """Parse ``FILE [--data.frame 4 ...]``."""
        from genkit.experiment import parse

        if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
            raise UsageError("weather-check needs a file first: genkit weather-check FILE [--data.mask True ...]")
        path, rest = ("", words) if words[0].startswith("-") else (words[0], words[1:])
        return cls(path, parse(Options(), rest, "default", "weather", "genkit weather-check FILE")[0].data)

    def run(self) -> None:
        """Read and print."""
        from genkit_weather.gridded import opened, paths_of, readable, weather

        paths, how = paths_of(self.path), replace(self.data, path=self.path)
        print(f"files      {len(paths)}: {paths[0]}{f' ... {paths[-1]}' if len(paths) > 1 else ''}")
        file = opened(self.path, how.levels)
        for line in (*grid_lines(file), *time_lines(file)):
            print(line)
        with readable(self.path):
            for line in variable_lines(file):
                print(line, flush=True)
            data = weather(file, how, self.path)
        for line in (*data_lines(data), *(f"note       {note}" for note in data.notes)):
            print(line)


def grid_lines(file: xr.Dataset) -> Iterator[str]:
    """Rows, columns, spacing, place, projection."""
    import numpy as np

    from genkit_weather.gridded import neighbours

    h, w = file.sizes["y"], file.sizes["x"]
    lat, lon = (file[n].values if n in file.coords else None for n in ("latitude", "longitude"))
    size = "in cells only"
    if lat is not None and lon is not None:
        size = f"about {neighbours(lat, lon, 1):.4g} x {neighbours(lat, lon, 0):.4g} km a cell"
    elif "x" in file.coords:
        dx, dy = (float(np.diff(file[d].values).mean()) for d in ("x", "y"))
        size = f"{dx:.4g} x {dy:.4g} km a cell"
    yield f"grid       {h} rows from south to north, {w} columns, {size}"
    if lat is not None and lon is not None:
        yield f"place      {lat.min():g} to {lat.max():g} N, {lon.min():g} to {lon.max():g} E"
    if "crs" in file.attrs:
        from pyproj import CRS

        yield f"projection {CRS.from_wkt(file.attrs['crs']).to_cf().get('grid_mapping_name', 'unnamed')}"


def time_lines(file: xr.Dataset) -> Iterator[str]:
    """First and last time, step, members."""
    from genkit_weather.gridded import usual_step

    along = "start" if "start" in file.dims else "time"
    stamps, passed = file[along].values, file["passed"].values
    step = f", every {usual_step(passed) / 3600:g} h" if len(passed) > 1 else ""
    kind = "forecasts from" if along == "start" else "times from"
    yield f"times      {len(stamps)} {kind} {stamps[0]} to {stamps[-1]}{step}"
    if along == "start":
        yield f"leads      {file.sizes['step']} to {file['step'].values[-1] / 3600:g} h"
    if "member" in file.dims:
        yield f"members    {', '.join(map(str, file['member'].values.tolist()))}"


def variable_lines(file: xr.Dataset) -> Iterator[str]:
    """A line for each variable: name, unit, range at a few times, cells without values, long name."""
    from genkit_weather.gridded import sample

    for name, array in file.data_vars.items():
        values = sample(array)
        bare = int(values.isnull().sum()) / values.size
        empty = f", {100 * bare:.3g} % without value" if bare else ""
        unit = array.attrs.get("units", "no unit")
        long = array.attrs.get("long_name", "")
        yield f"variable   {name} [{unit}]: {float(values.min()):.4g} to {float(values.max()):.4g}{empty}; {long}"


def data_lines(data: WeatherData) -> Iterator[str]:
    """What is predicted, given and fixed; the splits."""
    yield f"predicted  {', '.join(data.names)}; frame of {data.frame[0]} cells"
    yield f"forcing    {', '.join(data.forcing_names)}"
    yield f"static     {', '.join(data.static_names)}"
    for name, series in data.splits().items():
        states, days = sum(map(len, series)), (min(s.time[0] for s in series), max(s.time[-1] for s in series))
        yield f"{name:<10} {states} states in {len(series)} series, {days[0]} to {days[1]}"
