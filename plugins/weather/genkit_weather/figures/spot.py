"""The cell of a place: by latitude and longitude, or by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from genkit.errors import UsageError
from genkit_weather.area import Places
from genkit_weather.figures.coast import town

Cell = tuple[int, int]  # row, column


def spot(data: xr.Dataset, place: Sequence[str], stations: Path | None = None) -> tuple[Cell, str]:
    """The cell whose centre is nearest to a place, and what a figure calls it.

    Args:
        data: a forecast or truth with dimensions y and x.
        place: two numbers, degrees north and east (y and x in km where the grid has no degrees), or the words of a
            name: that of a station, else of a town that cartopy's files know; nothing is the middle of the area.
        stations: file of stations.

    Raises:
        UsageError: the name is not known, or the place is outside.
    """
    places = Places.of(data)
    if not place:
        row, column = (size // 2 for size in places.shape)
        return (row, column), f"row {row}, column {column}, the middle"
    try:
        first, second = map(float, place)
        label, geographic = "", places.geographic
    except ValueError:
        label, (first, second, geographic) = " ".join(place), _named(" ".join(place), stations)
    found = places.locate(np.array([first]), np.array([second]), geographic)[0]
    where = f"{first:g}°N {second:g}°E" if geographic else f"y {first:g} km, x {second:g} km"
    label = f"{label} ({where})" if label else where
    if np.isnan(found).any():
        raise UsageError(f"plume: {label} is outside the area; {_reach(places, geographic)}")
    row, column = (int(i) for i in np.rint(found))
    return (row, column), f"{label}, row {row}, column {column}"


def _named(name: str, stations: Path | None) -> tuple[float, float, bool]:
    """Latitude and longitude, or y and x, of a station or a town, and whether they are degrees."""
    known = "no file of stations"
    if stations is not None:
        from genkit_weather.stations import read_stations

        file = read_stations(stations)
        geographic, known = "latitude" in file.coords, str(file.attrs["source"])
        hit = np.flatnonzero(file["station"].values == name)
        if len(hit):
            first, second = (file[n].values[hit[0]] for n in (("latitude", "longitude") if geographic else ("y", "x")))
            return float(first), float(second), geographic
    at = town(name)
    if at is None:
        raise UsageError(f"plume: {name!r} is no station ({known}) and no town of cartopy's files; give LAT LON")
    return *at, True


def _reach(places: Places, geographic: bool) -> str:
    first, second = (places.lat, places.lon) if geographic else (places.y, places.x)
    unit = "°" if geographic else " km"
    sides = [f"{np.min(a):g} to {np.max(a):g}{unit}" for a in (first, second) if a is not None]
    return f"it has {' and '.join(sides)}"
