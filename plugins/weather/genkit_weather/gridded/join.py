"""Many files as one: variables side by side, times and members one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded.names import described
from genkit_weather.gridded.times import evened
from genkit_weather.gridded.units import convert

Part = tuple[str, xr.Dataset]  # the name of a file and its `fields`


def joined(parts: list[Part], levels: tuple[float, ...] = ()) -> xr.Dataset:
    """One data set of the form of `fields`, of several.

    Times that stand twice count once, the first; a variable in other units takes those of the first file; one that
    files have at different levels becomes one for each (t_850), of which `levels` are kept. Of variables, members and
    forecasts at different times the common ones are kept. Times and members that are left out are noted.

    Raises:
        DataError: grids that differ, nothing that changes in time, forecasts beside analyses.
    """
    parts = _by_level(parts, levels)
    (source, first), notes = parts[0], []
    for name, part in parts:
        _same_grid(first, part, source, name)
        notes += [note for note in part.attrs.get("notes", ()) if note not in notes]
    moving = [(name, part) for name, part in parts if {"time", "start"} & set(part.dims)]
    if not moving:
        raise DataError(f"{source}: no variable changes in time; found {described(first)}")
    moving = _forecasts(moving)
    along = "start" if "start" in moving[0][1].dims else "time"
    if odd := next((name for name, part in moving if along not in part.dims), None):
        raise DataError(f"{odd} is by time, {moving[0][0]} by the beginning of forecasts; read them one at a time")
    single = {int(part["member"]) for _, part in moving if "member" in part.coords and not part["member"].ndim}
    wide = len(single) > 1 or any("member" in part.dims for _, part in moving)
    whole = {}
    for variable in dict.fromkeys(str(v) for _, part in moving for v in part.data_vars):
        whole[variable] = _concatenated(variable, [(n, p) for n, p in moving if variable in p], along, wide, notes)
    whole, fixed = _once(whole, along, notes)
    for dim, by in (("member", "member"), ("step", "step"), (along, "passed")):
        whole = _common(whole, dim, by, notes)
    whole |= fixed
    for _, part in parts:
        if along not in part.dims:
            whole |= {str(n): a.reset_coords(drop=True) for n, a in part.data_vars.items() if n not in whole}
    coords = {n: first[n].variable for n in ("y", "x", "latitude", "longitude") if n in first.coords}
    result = xr.merge([a.rename(n) for n, a in whole.items()], compat="override", join="exact")
    result.attrs = {**first.attrs, "notes": tuple(dict.fromkeys(notes))}
    result = result.drop_vars([] if "member" in result.dims else "member", errors="ignore").assign_coords(coords)
    result = _series(result) if result.sizes.get("start") == 1 else result
    return evened(result) if "time" in result.dims else result  # files of one or two times do not tell their step


def _once(
    whole: dict[str, xr.DataArray], along: str, notes: list[str]
) -> tuple[dict[str, xr.DataArray], dict[str, xr.DataArray]]:
    """Variables by time, and fields that do not change: those at one time alone where others have a series."""
    moving = {n: a.sizes[along] for n, a in whole.items() if along == "time" and along in a.dims}
    alone = [n for n, count in moving.items() if count == 1 and max(moving.values()) > 2]
    notes += [f"{n} is at one time alone: it is taken as a static field" for n in alone]
    fixed = {n: whole[n].isel(time=0, drop=True).reset_coords(drop=True) for n in alone}
    return {n: a for n, a in whole.items() if n not in fixed}, fixed


def _by_level(parts: list[Part], levels: tuple[float, ...]) -> list[Part]:
    """Variables that the files have at different levels with the level in their names."""
    found: dict[str, set[str | None]] = {}
    for _, part in parts:
        for name, array in part.data_vars.items():
            found.setdefault(str(name), set()).add(array.attrs.get("level"))
    out = []
    for source, part in parts:
        names = {}
        for name in (n for n in map(str, part.data_vars) if len(found[n] - {None}) > 1):
            level, said = part[name].attrs.get("level"), sorted(one for one in found[name] if one is not None)
            if level is None:
                raise DataError(f"{source}: {name} has no level, in other files it is at {', '.join(said)}")
            value = level.split()[0]
            names[name] = f"{name}_{value}"
            if names[name] in part or len({one.split()[0] for one in said}) < len(said):
                raise DataError(f"{source}: {name} is at the levels {', '.join(said)}; rename one")
            if levels and float(value) not in levels:
                part = part.drop_vars(name)
        out.append((source, part.rename({k: v for k, v in names.items() if k in part})))
    return [(source, part) for source, part in out if part.data_vars]


def _forecasts(parts: list[Part]) -> list[Part]:
    """Parts by start and step, where their times are of several forecasts and of several steps; else as they are."""
    if not any("begun" in part.coords for _, part in parts):
        return parts
    pairs: dict[str, set[tuple[int, int]]] = {}
    for _, part in parts:
        if "start" in part.dims:
            own = {(int(s), int(k)) for s in part["passed"].values for k in part["step"].values}
        elif "begun" in part.coords:
            own = {(int(s), int(t - s)) for s, t in zip(part["begun"].values, part["passed"].values, strict=True)}
        else:
            own = set()
        for name in part.data_vars:
            pairs.setdefault(str(name), set()).update(own)
    several = any(len({s for s, _ in own}) > 1 and len({k for _, k in own}) > 1 for own in pairs.values())
    return [
        (name, _by_start(part, name) if several else part.drop_vars("begun", errors="ignore")) for name, part in parts
    ]


def _by_start(part: xr.Dataset, source: str) -> xr.Dataset:
    """Times of one forecast, or of one step of several, by start and step."""
    if "begun" not in part.coords:
        return part
    begun, passed, time = part["begun"].values, part["passed"].values, part["time"].values
    after, part = passed - begun, part.drop_vars(("begun", "passed"))
    start = time - after.astype("timedelta64[s]")
    if len(set(begun.tolist())) == 1:
        part = part.rename(time="step").assign_coords(step=("step", after))
        moves = [n for n, a in part.data_vars.items() if "step" in a.dims]
        part = part.assign({n: part[n].expand_dims(start=start[:1]) for n in moves})
        return part.assign_coords(passed=("start", begun[:1]))
    if len(set(after.tolist())) > 1:
        raise DataError(f"{source}: its times are of several forecasts and steps; give it both as dimensions")
    part = part.rename(time="start").assign_coords(start=("start", start), passed=("start", begun))
    return part.assign({n: a.expand_dims(step=after[:1]) for n, a in part.data_vars.items() if "start" in a.dims})


def _series(file: xr.Dataset) -> xr.Dataset:
    """A single forecast by the times for which it holds."""
    begin, passed, after = file["start"].values[0], int(file["passed"][0]), file["step"].values
    file = file.isel(start=0, drop=True).drop_vars(("passed", "start"), errors="ignore").rename(step="time")
    return file.assign_coords(time=begin + after.astype("timedelta64[s]"), passed=("time", passed + after))


def _concatenated(name: str, parts: list[Part], along: str, wide: bool, notes: list[str]) -> xr.DataArray:
    """A variable of several files, in the order of time, each time once; members side by side."""
    unit = parts[0][1][name].attrs.get("units")
    arrays = []
    for source, part in parts:
        array = part[name]
        own = array.attrs.get("units")
        if unit and own and own != unit:
            array = convert(array, own, unit, f"{source}: {name}").assign_attrs(array.attrs | {"units": unit})
        one = wide and along in array.dims and "member" in array.coords and "member" not in array.dims
        arrays.append(array.expand_dims("member") if one else array)
        if ("member" in arrays[-1].dims) != ("member" in arrays[0].dims):
            odd, other = (source, parts[0][0]) if "member" in arrays[0].dims else (parts[0][0], source)
            raise DataError(f"{odd}: {name} says no member, {other} has members; give it a number, or read one kind")
    if along not in arrays[0].dims:
        return arrays[0]
    if "member" not in arrays[0].dims:
        return _in_time(arrays, along, notes)
    members = sorted({m for a in arrays for m in a["member"].values.tolist()})
    rows = [_in_time([a.sel(member=[m]) for a in arrays if m in a["member"].values], along, notes) for m in members]
    for dim, by in (("step", "step"), (along, "passed")):
        rows = list(
            _common({f"{name} of member {m}": a for m, a in zip(members, rows, strict=True)}, dim, by, notes).values()
        )
    return rows[0] if len(rows) == 1 else xr.concat(rows, "member", join="exact", combine_attrs="override")


def _in_time(arrays: list[xr.DataArray], along: str, notes: list[str]) -> xr.DataArray:
    """The parts of a variable one after the other; forecasts whose steps are in files of their own are put together."""
    if along == "start":
        groups: dict[tuple[int, ...], list[xr.DataArray]] = {}
        for array in _apart(arrays):
            groups.setdefault(tuple(array["passed"].values.tolist()), []).append(array)
        arrays = [_one_after_other(group, "step", "step", notes) for group in groups.values()]
        common = sorted(set.intersection(*(set(a["step"].values.tolist()) for a in arrays)))
        longest, name = max(a.sizes["step"] for a in arrays), arrays[0].name
        if not common:
            raise DataError(f"the forecasts of {name} have no step in common; read those of the same steps")
        if len(common) < longest:
            notes.append(
                f"{name}: {longest - len(common)} of {longest} steps are not in all forecasts and are left out"
            )
        arrays = [a.sel(step=common) for a in arrays]
    return _one_after_other(arrays, along, "passed", notes)


def _apart(arrays: list[xr.DataArray]) -> list[xr.DataArray]:
    """Forecasts one by one, where files share some starts and not others."""
    starts = {tuple(a["passed"].values.tolist()) for a in arrays}
    if sum(map(len, starts)) == len(set().union(*starts)):
        return arrays
    return [a.isel(start=[i]) for a in arrays for i in range(a.sizes["start"])]


def _one_after_other(arrays: list[xr.DataArray], along: str, by: str, notes: list[str]) -> xr.DataArray:
    """Joined in ascending order, each time once."""
    how: dict[str, Any] = {"coords": "minimal", "compat": "override", "combine_attrs": "override"}
    whole = arrays[0] if len(arrays) == 1 else xr.concat(arrays, along, **how)
    order = np.unique(whole[by].values, return_index=True)[1]
    if more := whole.sizes[along] - len(order):
        notes.append(f"{more} {along}s stand twice; the first in the order of the files counts")
    return whole if np.array_equal(order, np.arange(whole.sizes[along])) else whole.isel({along: order})


def _common(whole: dict[str, xr.DataArray], along: str, by: str, notes: list[str]) -> dict[str, xr.DataArray]:
    """All variables at the times, or of the members, that all have: `along` a dimension, `by` its coordinate."""
    moving = {n: a[by].values for n, a in whole.items() if along in a.dims}
    if not moving:
        return whole
    common = next(iter(moving.values()))
    for passed in moving.values():
        common = np.intersect1d(common, passed)
    longest = max(map(len, moving.values()))
    if not len(common):
        raise DataError(f"the variables {', '.join(moving)} have no {along} in common; read one kind at a time")
    if len(common) < longest:
        short = ", ".join(n for n, passed in moving.items() if len(passed) < longest) or "some"
        notes.append(
            f"{longest - len(common)} of {longest} {along}s are not in all variables ({short}) and are left out"
        )
    return {
        n: a.isel({along: np.flatnonzero(np.isin(moving[n], common))}) if n in moving and len(common) < len(moving[n])
        else a
        for n, a in whole.items()
    }  # fmt: skip


def _same_grid(first: xr.Dataset, part: xr.Dataset, source: str, name: str) -> None:
    """Refuse files on different grids."""
    shapes = [(p.sizes.get("y"), p.sizes.get("x")) for p in (first, part)]
    if shapes[0] != shapes[1]:
        (h, w), (rows, columns) = shapes
        raise DataError(f"{name} has {rows} x {columns} cells, {source} {h} x {w}; read files of one grid at a time")
    for axis in ("latitude", "longitude", "y", "x"):
        if axis in first.coords and axis in part.coords:
            off = float(np.abs(first[axis].values - part[axis].values).max())
            if off > 1e-3 + 1e-5 * float(np.abs(first[axis].values).max()):
                raise DataError(f"{name} lies elsewhere than {source}: {axis} differs by up to {off:g}")
