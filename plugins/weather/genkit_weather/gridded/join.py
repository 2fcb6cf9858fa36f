"""Many files as one: variables side by side, times and members one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded.names import described
from genkit_weather.gridded.units import convert

Part = tuple[str, xr.Dataset]  # the name of a file and its `fields`


def joined(parts: list[Part]) -> xr.Dataset:
    """One data set of the form of `fields`, of several.

    Times that stand twice count once, the first; a variable in other units takes those of the first file; of
    variables at different times the common ones are kept, which is noted.

    Raises:
        DataError: grids that differ, nothing that changes in time, forecasts beside analyses.
    """
    (source, first), notes = parts[0], []
    for name, part in parts:
        _same_grid(first, part, source, name)
        notes += [note for note in part.attrs.get("notes", ()) if note not in notes]
    moving = [(name, part) for name, part in parts if {"time", "start"} & set(part.dims)]
    if not moving:
        raise DataError(f"{source}: no variable changes in time; found {described(first)}")
    along = "start" if "start" in moving[0][1].dims else "time"
    if odd := next((name for name, part in moving if along not in part.dims), None):
        raise DataError(f"{odd} is by time, {moving[0][0]} by the beginning of forecasts; read them one at a time")
    if len({int(part["member"]) for _, part in moving if "member" in part.coords and not part["member"].ndim}) > 1:
        moving = [(name, part.expand_dims("member") if "member" in part.coords else part) for name, part in moving]
    whole = {}
    for variable in dict.fromkeys(str(v) for _, part in moving for v in part.data_vars):
        whole[variable] = _concatenated(variable, [(n, p) for n, p in moving if variable in p], along)
    whole = _common(whole, along, notes)
    for _, part in parts:
        if along not in part.dims:
            whole |= {str(n): a.reset_coords(drop=True) for n, a in part.data_vars.items() if n not in whole}
    coords = {n: first[n].variable for n in ("y", "x", "latitude", "longitude") if n in first.coords}
    result = xr.merge([a.rename(n) for n, a in whole.items()], compat="override", join="exact")
    result.attrs = {**first.attrs, "notes": tuple(notes)}
    result = result.drop_vars([] if "member" in result.dims else "member", errors="ignore").assign_coords(coords)
    return _series(result) if result.sizes.get("start") == 1 else result


def _series(file: xr.Dataset) -> xr.Dataset:
    """A single forecast by the times for which it holds."""
    begin, passed, after = file["start"].values[0], int(file["passed"][0]), file["step"].values
    file = file.isel(start=0, drop=True).drop_vars(("passed", "start"), errors="ignore").rename(step="time")
    return file.assign_coords(time=begin + after.astype("timedelta64[s]"), passed=("time", passed + after))


def _concatenated(name: str, parts: list[Part], along: str) -> xr.DataArray:
    """A variable of several files, in the order of time, each time once; members side by side."""
    unit = parts[0][1][name].attrs.get("units")
    arrays = []
    for source, part in parts:
        array = part[name]
        own = array.attrs.get("units")
        if unit and own and own != unit:
            array = convert(array, own, unit, f"{source}: {name}").assign_attrs(array.attrs | {"units": unit})
        arrays.append(array)
    if along not in arrays[0].dims:
        return arrays[0]
    if "member" not in arrays[0].dims:
        return _in_time(arrays, along)
    members = sorted({m for a in arrays for m in a["member"].values.tolist()})
    rows = [_in_time([a.sel(member=[m]) for a in arrays if m in a["member"].values], along) for m in members]
    return rows[0] if len(rows) == 1 else xr.concat(rows, "member", join="inner", combine_attrs="override")


def _in_time(arrays: list[xr.DataArray], along: str) -> xr.DataArray:
    how: dict[str, Any] = {"coords": "minimal", "compat": "override", "combine_attrs": "override"}
    if along == "start" and any(not np.array_equal(a["step"], arrays[0]["step"]) for a in arrays):
        how["join"] = "inner"  # the lead times that all have
    whole = arrays[0] if len(arrays) == 1 else xr.concat(arrays, along, **how)
    order = np.unique(whole["passed"].values, return_index=True)[1]
    return whole if np.array_equal(order, np.arange(whole.sizes[along])) else whole.isel({along: order})


def _common(whole: dict[str, xr.DataArray], along: str, notes: list[str]) -> dict[str, xr.DataArray]:
    """All variables at the times that all have."""
    moving = {n: a["passed"].values for n, a in whole.items() if along in a.dims}
    common = next(iter(moving.values()))
    for passed in moving.values():
        common = np.intersect1d(common, passed)
    longest = max(map(len, moving.values()))
    if len(common) < longest:
        short = ", ".join(n for n, passed in moving.items() if len(passed) < longest) or "some"
        notes.append(f"{longest - len(common)} of {longest} times are not in all variables ({short}) and are left out")
    if not len(common):
        raise DataError(f"the variables {', '.join(moving)} have no time in common; read one kind at a time")
    return {
        n: a.isel({along: np.flatnonzero(np.isin(moving[n], common))}) if n in moving and len(common) < len(moving[n])
        else a
        for n, a in whole.items()
    }  # fmt: skip


def _same_grid(first: xr.Dataset, part: xr.Dataset, source: str, name: str) -> None:
    """Refuse files on different grids."""
    shapes = [(p.sizes["y"], p.sizes["x"]) for p in (first, part)]
    if shapes[0] != shapes[1]:
        (h, w), (rows, columns) = shapes
        raise DataError(f"{name} has {rows} x {columns} cells, {source} {h} x {w}; read files of one grid at a time")
    for axis in ("latitude", "longitude", "y", "x"):
        if axis in first.coords and axis in part.coords:
            off = float(np.abs(first[axis].values - part[axis].values).max())
            if off > 1e-3 + 1e-5 * float(np.abs(first[axis].values).max()):
                raise DataError(f"{name} lies elsewhere than {source}: {axis} differs by up to {off:g}")
