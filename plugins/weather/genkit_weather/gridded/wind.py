"""Wind along the rows and columns of a turned grid, or along east and north."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import xarray as xr

from genkit.errors import DataError

Wind = Literal["file", "grid", "earth"]
EARTH, GRID = ("eastward_wind", "northward_wind"), ("x_wind", "y_wind")
NAMED = re.compile(r"(10)?u_?\d*m?(_.*)?|U\d*|uas|eastward_wind.*|x_wind.*")
SPELLED = ((r"u(?=\d|_|$|as$)", "v"), ("U", "V"), ("eastward", "northward"), ("x_wind", "y_wind"))


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
            file = file.assign({name: values.drop_attrs().assign_attrs(attrs | {"standard_name": standard})})
    return file


def found(file: xr.Dataset) -> list[tuple[str, str]]:
    """Pairs (u, v) of wind components: by standard name and level where one alone fits, else by their names."""
    fields = {str(n): (str(a.attrs.get("standard_name", "")), a.attrs.get("level")) for n, a in file.data_vars.items()}
    pairs = []
    for u, (standard, level) in fields.items():
        known = {EARTH[0]: EARTH[1], GRID[0]: GRID[1]}.get(standard)
        if known is None and (standard not in ("", "unknown") or not NAMED.fullmatch(u)):
            continue
        twins = [v for v, said in fields.items() if known is not None and said == (known, level)]
        same = [n for n, said in fields.items() if said == (standard, level)]
        spelled = (re.sub(one, other, u, count=1) for one, other in SPELLED)
        named = next((v for v in spelled if v != u and v in fields), None)
        other = named if named is not None and (named in twins or not twins) else None
        if other is None and len(twins) == len(same) == 1:
            other = twins[0]
        if other is not None:
            pairs.append((u, other))
    return pairs


def _axes(u: xr.DataArray) -> str | None:
    """Along which axes a component is, as its attributes say; first counts the flag of GRIB."""
    standard, relative = u.attrs.get("standard_name"), u.attrs.get("GRIB_uvRelativeToGrid")
    if relative is not None:
        return "grid" if int(relative) else "earth"
    return {EARTH[0]: "earth", GRID[0]: "grid"}.get(str(standard))
