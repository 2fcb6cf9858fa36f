"""Wind along the rows and columns of a turned grid, or along east and north."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import xarray as xr

from genkit.errors import DataError

Wind = Literal["file", "grid", "earth"]
EARTH, GRID = ("eastward_wind", "northward_wind"), ("x_wind", "y_wind")


def angle(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(y, x) angle in radians from east to the direction of the rows, counter-clockwise, from neighbouring cells."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.arctan2(np.gradient(phi, axis=1), np.gradient(np.unwrap(lam, axis=1), axis=1) * np.cos(phi))


def turned(file: xr.Dataset, to: Wind, source: str) -> xr.Dataset:
    """The file with its pairs of wind components along the grid (x_wind, y_wind), or eastward and northward.

    Pairs are found by their standard names, else by names such as u10 and v10. Those whose attributes say that they are
    along the wanted axes already stay; of others without attributes it is taken that they are along the other axes.

    Raises:
        DataError: there is no pair, or no latitudes and longitudes.
    """
    if to == "file":
        return file
    pairs = found(file)
    if not pairs:
        raise DataError(f"{source}: no pair of wind components to turn; names such as u10 and v10 are needed")
    pairs = [(u, v) for u, v in pairs if _axes(file[u]) != to]
    if not pairs:
        return file
    if "latitude" not in file.coords:
        raise DataError(f"{source}: wind cannot be turned without latitudes and longitudes")
    alpha = angle(file["latitude"].values, file["longitude"].values) * (1 if to == "grid" else -1)
    cosine, sine = (xr.DataArray(f(alpha).astype(np.float32), dims=("y", "x")) for f in (np.cos, np.sin))
    names = GRID if to == "grid" else EARTH
    for u, v in pairs:
        along, across = file[u] * cosine + file[v] * sine, file[v] * cosine - file[u] * sine
        for name, values, standard in ((u, along, names[0]), (v, across, names[1])):
            attrs = {k: a for k, a in file[name].attrs.items() if k != "GRIB_uvRelativeToGrid"}
            file = file.assign({name: values.assign_attrs(attrs | {"standard_name": standard})})
    return file


def found(file: xr.Dataset) -> list[tuple[str, str]]:
    """Pairs (u, v) of wind components."""
    pairs = []
    for u in map(str, file.data_vars):
        standard = str(file[u].attrs.get("standard_name", ""))
        others = [re.sub(r"u(?=\d|_|$)", "v", u, count=1), u.replace("U", "V", 1)]
        others += [u.replace("eastward", "northward"), u.replace("x_wind", "y_wind")]
        other = next((v for v in others if v != u and v in file), None)
        wind = standard in (EARTH[0], GRID[0]) or (
            standard in ("", "unknown") and re.fullmatch(r"(10)?u_?\d*m?(_.*)?|U\d*|eastward_wind.*|x_wind.*", u)
        )
        if wind and other is not None:
            pairs.append((u, other))
    return pairs


def _axes(u: xr.DataArray) -> str | None:
    """Along which axes a component is, as its attributes say."""
    standard, relative = u.attrs.get("standard_name"), u.attrs.get("GRIB_uvRelativeToGrid")
    if standard in (EARTH[0], GRID[0]):
        return "earth" if standard == EARTH[0] else "grid"
    return None if relative is None else ("grid" if int(relative) else "earth")
