"""A boundary on another grid, with another step: interpolated to the cells and times of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import Places, frame_of
from genkit_weather.gridded import accumulated, found, turned
from genkit_weather.models import Area


def fitted(file: xr.Dataset, area: Area, when: np.ndarray, source: str) -> xr.Dataset:
    """A file in the form of `genkit_weather.gridded.opened` on the grid of an area, at some times.

    Bilinear between the four cells around, where the grids differ; linear between equal steps, where times are missing.
    Cells that it does not cover are NaN. Wind is interpolated as eastward and northward.

    Raises:
        DataError: cells of the frame that it does not cover, a sum over time that would be cut, wind of a direction
            that the model does not tell.
    """
    timed = _at_times(file, when, source)
    return _on_grid(timed, area, source) if _elsewhere(file, area, source) else timed


def longer_step(file: xr.Dataset, when: np.ndarray) -> float | None:
    """Hours between the times of a file, if `when` lies within them and some of it between two; else None."""
    has = np.sort(file["time"].values.astype("datetime64[s]"))
    if np.isin(when, has).all() or len(has) < 2 or when[0] < has[0] or when[-1] > has[-1]:
        return None
    steps = np.unique(np.diff(has))
    return float(steps[0] / np.timedelta64(1, "h")) if len(steps) == 1 else None  # a gap is no step


def _at_times(file: xr.Dataset, when: np.ndarray, source: str) -> xr.Dataset:
    """The file with the times `when`; as it is where it has them, or cannot have them."""
    if (step := longer_step(file, when)) is None:
        return file
    for name, array in file.data_vars.items():
        if accumulated(array):
            raise DataError(f"{source}: {name} is a sum over {step:g} h, which cannot be cut; give it at {when[1]}")
    moving = [n for n in file.data_vars if "time" in file[n].dims]
    between = (
        file[moving].drop_vars("passed", errors="ignore").sortby("time").interp(time=when.astype(file["time"].dtype))
    )
    return between.assign({n: between[n].assign_attrs(file[n].attrs) for n in moving}).assign_attrs(file.attrs)


def _elsewhere(file: xr.Dataset, area: Area, source: str) -> bool:
    """Whether a file has places, and others than those of the area; rows may run the other way."""
    own, other = _places(area), Places.of(file, source)
    globe = own.on_globe(other)
    if not globe and any(a is None for a in (own.x, own.y, other.x, other.y)):
        return False  # nobody knows
    if own.shape != other.shape:
        return True
    one, two = (p.kilometres(globe).reshape(*p.shape, 3) for p in (own, other))
    near = 0.05 * np.linalg.norm(one[0, 1] - one[0, 0])
    return not any(
        np.abs(one - np.flip(two, axes)).max() <= near for axes in ((), (0,), (1,), (0, 1))
    )  # fmt: skip


def _on_grid(file: xr.Dataset, area: Area, source: str) -> xr.Dataset:
    along = area.wind == "grid" and bool(found(file))
    own, other = _places(area), Places.of(file, source)
    globe = own.on_globe(other)
    unsaid = globe and area.wind == "file" and bool(found(file))
    if unsaid and not _upright(area):
        raise DataError(
            f"{source}: the model has wind as its files had it, along an unknown direction of a turned grid; give the "
            f"boundary on the grid of the model, or train with --data.wind earth"
        )
    file = turned(file, "earth", source) if along or unsaid else file
    first, second = own.pair(globe)
    place = other.locate(np.ravel(first), np.ravel(second), globe)
    other.covering(frame_of(place.reshape(*area.grid, 2), area.frame), "the frame")
    inside = np.asarray(~np.isnan(place).any(-1))
    cells, weights = other.corners(place[inside], "bilinear")
    fields: dict[str, Any] = {}
    for name, array in file.data_vars.items():
        if set(array.dims) != {"time", "y", "x"}:
            fields[str(name)] = array.variable
            continue
        values = np.asarray(array.transpose("time", "y", "x").values, np.float32)
        out = np.full((len(values), len(inside)), np.nan, np.float32)
        out[:, inside] = np.einsum("tnk,nk->tn", values.reshape(len(values), -1)[:, cells], weights)
        fields[str(name)] = ("time", "y", "x"), out.reshape(len(values), *area.grid), array.attrs
    coords: dict[str, Any] = {"time": file["time"].values}
    coords |= {n: ((n,), a) for n, a in (("y", own.y), ("x", own.x)) if a is not None}
    coords |= {n: (("y", "x"), a) for n, a in (("latitude", own.lat), ("longitude", own.lon)) if a is not None}
    made = xr.Dataset(fields, coords, file.attrs)
    return turned(made, "grid", source) if along else made


def _upright(area: Area) -> bool:
    """Whether columns run to the north and rows to the east: components along the grid are those of the earth."""
    if area.lat is None or area.lon is None:
        return False
    lat, lon = np.asarray(area.lat), np.asarray(area.lon)
    return bool(np.ptp(lat, 1).max() < 1e-3 and np.ptp(lon, 0).max() < 1e-3)


def _places(area: Area) -> Places:
    arrays = (None if a is None else np.asarray(a) for a in (area.lat, area.lon, area.x, area.y))
    return Places(area.grid, *arrays, source="the model", crs=area.crs)
