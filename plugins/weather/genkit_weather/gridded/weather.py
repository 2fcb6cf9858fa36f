"""A data set of gridded fields as weather data: what is predicted, what is given, what never changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.area import NAMES, angles, standard_forcing
from genkit_weather.data import Series, WeatherData, check
from genkit_weather.gridded.files import beyond, stamp
from genkit_weather.gridded.grid import regular
from genkit_weather.gridded.layers import Layers, constant, in_memory, missing, sample
from genkit_weather.gridded.names import described
from genkit_weather.gridded.split import SPLITS, Piece, pieces
from genkit_weather.gridded.times import usual_step
from genkit_weather.gridded.units import LEVEL, accumulated, convert, implausible
from genkit_weather.gridded.wind import turned
from genkit_weather.lazy import Lazy

if TYPE_CHECKING:
    from genkit_weather.datasets import Own

SURFACE = r"surface_altitude|surface_geopotential|geopotential|orog(raphy)?|hgt|hsurf|topo(graphy)?|elevation|z_?sfc|z"
GRAVITY = 9.80665  # m s-2


def weather(file: xr.Dataset, how: Own, source: str, files: str = "") -> WeatherData:
    """Weather data of a data set in the form of `fields`.

    Args:
        file: the data set.
        how: what is made of it.
        source: how errors name it.
        files: pattern of its files; what takes a pass over values that are not in memory is kept for them.

    Raises:
        DataError: what is wrong, in one line with what to do.
        UsageError: options that do not fit the data.
    """
    notes = list(file.attrs.get("notes", ()))
    corrected = tuple((n, str(file[n].attrs.get("units", "")), u) for n, u in how.units.items() if n in file)
    file = _selected(file, how, source)
    if "y" not in file.dims:
        raise DataError(f"{source}: no variable has rows and columns; found {described(file)}")
    if len(file["passed"]) < 2 and "start" not in file.dims:
        raise DataError(f"{source} has 1 time; a forecast needs at least 3")
    state, forcing, static = _sorted_out(file, how, source, notes)
    file = turned(file, how.wind, source)
    moving = file[[*state, *forcing]]
    if moving.nbytes <= how.memory * 1e9:
        moving = _members(moving.compute(), source, notes)
    gaps = missing(moving, (*state, *forcing), source, how.mask)
    notes += gaps.notes
    along = "start" if "start" in moving.dims else "time"
    gone = gaps.times if along == "start" else None  # a step that is missing is no missing start
    moving = moving.isel(time=np.flatnonzero(~gaps.times)) if gone is None and gaps.times.any() else moving
    sums = [n for n in (*state, *forcing) if accumulated(file[n])]
    if sums and how.step is not None and how.step * 3600 > _own_step(moving):
        raise UsageError(f"step={how.step:g}: {sums[0]} is a sum over a time; leave it out by --data.variables")
    try:
        cut = pieces(moving, source, how.step, how.split, {name: getattr(how, name) for name in SPLITS}, gone)
    except DataError as error:  # what was left out may be why
        raise DataError("; ".join((str(error), *notes[:2]))) from None
    notes += cut.notes
    if gaps.known is not None:
        moving = _filled(moving, (*state, *forcing), gaps.known, cut.splits["train"])
    notes += [note for n in (*state, *forcing) if (note := _strange(moving[n]))]
    notes += [f"{n} only grows, as a total since the start of a forecast does" for n in sums if _grows(moving[n])]
    lat, lon = (file[n].values if n in file.coords else None for n in ("latitude", "longitude"))
    told, uniform = (NAMES, False) if lat is not None else (NAMES[1:], not any("y" in file[n].dims for n in forcing))
    known = "" if not files or in_memory(moving) else stamp(files)
    told_of = [Layers(moving, names, source, known and repr((known, how))) for names in (state, forcing)]
    reading = _Reading(told_of[0], told_of[1], lat, lon, uniform)
    fixed = _static(file, static, lat, lon, notes)
    h, w = moving.sizes["y"], moving.sizes["x"]
    if 2 * how.frame >= min(h, w):
        raise DataError(f"{source}: a frame of {how.frame} leaves no interior of {h} x {w} cells; set --data.frame")
    data = WeatherData(
        *(tuple(reading(one) for one in cut.splits[name]) for name in SPLITS),
        static=np.stack(list(fixed.values()), -1).astype(np.float32),
        frame=(how.frame, how.frame),
        names=state,
        units=tuple(str(moving[n].attrs.get("units", "1")) for n in state),
        long_names=tuple(str(moving[n].attrs.get("long_name", n)) for n in state),
        forcing_names=(*told, *forcing),
        static_names=tuple(fixed),
        step_hours=cut.step / 3600,
        lat=lat,
        lon=lon,
        x=file["x"].values if "x" in file.coords else None,
        y=file["y"].values if "y" in file.coords else None,
        diurnal=cut.step < 86400,
        source=source,
        mask=None if gaps.known is None or gaps.known[..., : len(state)].all() else gaps.known[..., : len(state)],
        crs=file.attrs.get("crs"),
        forcing_units=(*("" for _ in told), *(str(moving[n].attrs.get("units", "")) for n in forcing)),
        forcing_fill=_fill(moving, (*told, *forcing), gaps.known, len(state)),
        wind=how.wind,
        corrected=corrected,
        standard_names=tuple(_standard(moving[n]) for n in state),
        elevation=_elevation(file, static),
        notes=tuple(dict.fromkeys(notes)),
    )
    return check(data) if in_memory(moving) else data


def _selected(file: xr.Dataset, how: Own, source: str) -> xr.Dataset:
    """The member, region and units that are asked for."""
    if how.member is not None:
        if "member" not in file.dims or how.member not in file["member"].values:
            has = file["member"].values.tolist() if "member" in file.dims else "none"
            raise UsageError(f"member={how.member} is not in {source}; it has {has}")
        file = file.sel(member=[how.member])
    for name, unit in how.units.items():
        if name not in file:
            raise UsageError(f"units name {name}, but {source} has {', '.join(map(str, file.data_vars))}")
        file = file.assign({name: file[name].assign_attrs(units=unit)})
    return file if how.region is None else _cut_out(file, how.region, source)


def _members(file: xr.Dataset, source: str, notes: list[str]) -> xr.Dataset:
    """Without the members of which some variable has no value at all, as lagged ensembles have them."""
    if "member" not in file.dims:
        return file
    held = [a.notnull().any(set(a.dims) - {"member"}).values for a in file.data_vars.values() if "member" in a.dims]
    kept = np.all(held, axis=0) if held else np.ones(file.sizes["member"], bool)
    if not kept.any():
        raise DataError(f"{source}: no member has values of all variables; name others by --data.variables")
    notes += [f"member {m} has no values and is left out" for m in file["member"].values[~kept]]
    return file if kept.all() else file.isel(member=np.flatnonzero(kept))


def _cut_out(file: xr.Dataset, region: tuple[float, float, float, float], source: str) -> xr.Dataset:
    """Rows and columns that have a cell inside a region."""
    south, north, west, east = region
    if not (-90 <= south < north <= 90 and west < east <= west + 360):
        raise UsageError(f"region={region}: expected south < north and west < east <= west + 360 degrees")
    if "latitude" not in file.coords:
        raise UsageError(f"region={region}: {source} has no latitudes and longitudes")
    slack, lat, lon = 1e-6, file["latitude"].values, file["longitude"].values
    lon = lon - 360 * np.floor((lon - west + slack) / 360)
    inside = (lat >= south - slack) & (lat <= north + slack) & (lon <= east + slack)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if min(len(rows), len(columns)) < 2:
        raise DataError(f"{source}: region {region} holds fewer than 2 x 2 cells")
    rows = slice(rows[0], rows[-1] + 1)
    if not regular(file["latitude"].values, file["longitude"].values):  # columns stay in their order
        return file.isel(y=rows, x=slice(columns[0], columns[-1] + 1))
    columns = columns[np.argsort(lon[0, columns], kind="stable")]
    return file.assign_coords(longitude=(("y", "x"), lon)).isel(y=rows, x=columns)


def _sorted_out(
    file: xr.Dataset, how: Own, source: str, notes: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of state, forcing and static fields."""
    named = {k: _named(file, k, getattr(how, k), source) for k in ("variables", "forcing", "static")}
    wanted, forcing = named["variables"], named["forcing"]
    twice = set(wanted) & {*forcing, *how.static} | set(forcing) & set(how.static)
    if twice:
        raise UsageError(f"{sorted(twice)[0]} is named twice among variables, forcing and static")
    moves = [str(n) for n, a in file.data_vars.items() if {"time", "start"} & set(a.dims)]
    for name in (*wanted, *forcing):
        if name not in moves:
            raise UsageError(f"{name} does not change in time; name it under static, or not at all")
    gridded = [n for n in moves if "y" in file[n].dims]
    state = [n for n in wanted or gridded if n not in (*forcing, *how.static)]
    if flat := [n for n in state if n not in gridded]:
        raise UsageError(f"{flat[0]} is the same everywhere, so it cannot be predicted; name it under forcing")
    static = [str(n) for n, a in file.data_vars.items() if set(a.dims) == {"y", "x"}]
    static = list(how.static) if how.static else static
    said: list[str] = []
    for name in list(state):
        if constant(file[name]):
            bare = bool(sample(file[name]).isnull().all())
            none = f"has no values{beyond(file[name])}"
            said.append(f"{name} {none if bare else 'never changes: it is taken as a static field'}")
            state.remove(name)
            static += [] if bare or name in static or how.static else [name]
    if not state:
        found = f"found {', '.join(map(str, file.data_vars))}"
        raise DataError(f"{source}: no variable changes in time and place; {'; '.join((found, *said))}")
    notes += said
    left = [n for n in moves if n not in (*state, *forcing, *static)]
    if left and not how.variables:
        notes.append(f"not used: {', '.join(left)}")
    return tuple(state), tuple(forcing), tuple(static)


def _named(file: xr.Dataset, option: str, names: tuple[str, ...], source: str) -> list[str]:
    """The variables of an option; a name also stands for the same at all levels, t for t_850 and t_500."""
    found = []
    for name in names:
        levels = [str(n) for n in file.data_vars if re.fullmatch(re.escape(name) + LEVEL, str(n))]
        if name not in file and not levels:
            raise UsageError(f"{option} names {name}, but {source} has {', '.join(map(str, file.data_vars))}")
        found += [name] if name in file else levels
    return found


def _own_step(file: xr.Dataset) -> float:
    held = file["step" if "start" in file.dims else "passed"].values
    return usual_step(held) if len(held) > 1 else np.inf


def _standard(array: xr.DataArray) -> str:
    """The standard name of a variable, empty where it has none."""
    name = str(array.attrs.get("standard_name", ""))
    return "" if name == "unknown" else name


def _grows(array: xr.DataArray) -> bool:
    """Whether a variable never falls and is not the same at the end, at a few times of each forecast or series."""
    steps = sample(array).diff("step" if "step" in array.dims else "time")
    return bool((steps.fillna(0) >= 0).all() and (steps > 0).any())


def _strange(array: xr.DataArray) -> str | None:
    """A doubt about the units, from all values that are in memory, else from a few times."""
    values = array if isinstance(array.variable._data, np.ndarray) else sample(array)
    unit = str(array.attrs.get("units", ""))
    if not unit:
        return f"{array.name} has no units; they can be given by --data.units {array.name} UNIT"
    standard = str(array.attrs.get("standard_name", ""))
    return implausible(str(array.name), standard, unit, float(values.min()), float(values.max()))


def _filled(file: xr.Dataset, names: tuple[str, ...], known: np.ndarray, train: list[Piece]) -> xr.Dataset:
    """Cells that do not count hold the training mean of those that do."""
    along = "start" if "start" in file.dims else "time"
    rows = np.unique(np.concatenate([one.rows if along == "time" else [one.index["start"]] for one in train]))
    out = {}
    for v, name in enumerate(names):
        cells = xr.DataArray(known[..., v], dims=("y", "x"))
        if "y" in file[name].dims and not known[..., v].all():
            mean = float(file[name].isel({along: rows}).where(cells).mean())
            out[name] = file[name].where(cells, mean).astype(np.float32)
    return file.assign(out)


def _fill(file: xr.Dataset, names: tuple[str, ...], known: np.ndarray | None, before: int) -> np.ndarray | None:
    """(H, W, F) what cells without values of the forcing hold, after `_filled`; NaN elsewhere, None if all have values.

    The variables of `known` are `before` of the state, then the last ones of `names`.
    """
    if known is None or known[..., before:].all():
        return None
    out = np.full((*known.shape[:2], len(names)), np.nan, np.float32)
    for f in range(before - known.shape[-1], 0):
        bare = ~known[..., f]
        if bare.any():
            first = file[names[f]].isel({d: 0 for d in file[names[f]].dims if d not in ("y", "x")})
            out[bare, f] = first.transpose("y", "x").values[bare]
    return out


def _static(file: xr.Dataset, names: tuple[str, ...], lat: Any, lon: Any, notes: list[str]) -> dict[str, np.ndarray]:
    """Static fields (H, W): places, then those of the file; cells without value hold the mean of the others."""
    if lat is None or lon is None:
        rows, columns = np.meshgrid(np.arange(file.sizes["y"]), np.arange(file.sizes["x"]), indexing="ij")
        fields = {"row": rows, "column": columns}
    elif np.ptp(lon) * lon.shape[1] / (lon.shape[1] - 1) > 359:  # around the globe
        fields = {"lat": lat, "cos_lon": np.cos(np.deg2rad(lon)), "sin_lon": np.sin(np.deg2rad(lon))}
    else:
        fields = {"lat": lat, "lon": lon}
    for name in names:
        array = file[name].isel({d: 0 for d in file[name].dims if d not in ("y", "x")})
        values = np.asarray(array.transpose("y", "x").values, np.float64)
        bad = ~np.isfinite(values)
        if bad.all():
            continue
        if bad.any():
            notes.append(f"{name}: {int(bad.sum())} cells without value hold the mean of the others")
        fields[name] = np.where(bad, values[~bad].mean(), values)
    return fields


def _elevation(file: xr.Dataset, names: tuple[str, ...]) -> np.ndarray | None:
    """(H, W) m of the surface, from its altitude or its geopotential; None where no static field is one."""
    for name in names:
        said = str(file[name].attrs.get("standard_name", "")), name
        if not any(re.fullmatch(SURFACE, n, re.IGNORECASE) for n in said):
            continue
        if "units" not in file[name].attrs:  # metres and a geopotential look alike
            continue
        array = file[name].isel({d: 0 for d in file[name].dims if d not in ("y", "x")}).transpose("y", "x")
        unit, values = str(array.attrs["units"]), np.asarray(array.values, np.float64)
        for to, scale in (("m", 1.0), ("m2 s-2", 1 / GRAVITY)):
            try:
                return (convert(values, unit, to, name) * scale).astype(np.float32)
            except DataError:  # a geopotential is no length
                continue
    return None


class _Reading:
    """Makes the series of a piece."""

    def __init__(self, state: Layers, forcing: Layers, lat: Any, lon: Any, uniform: bool):
        self.state, self.forcing, self.lat, self.lon, self.uniform = state, forcing, lat, lon, uniform

    def __call__(self, piece: Piece) -> Series:
        state: Any = self.state.at(piece.index, piece.rows)
        own = self.forcing.at(piece.index, piece.rows)
        if self.uniform and not self.forcing.names:
            told: Any = angles(piece.time)[:, None, None].astype(np.float32)
        elif isinstance(state, Lazy):
            shape = (*state.shape[:3], (5 if self.lat is not None else 4) + len(self.forcing.names))
            key = state.key and f"{state.key} {getattr(own, 'key', '')}"  # the rest follows from time and place
            told = Lazy(shape, lambda rows: self._told(piece.time[rows], np.asarray(own[rows])), key)
        else:
            told = self._told(piece.time, own)
        return Series(state, told, piece.time, issued=piece.issued)  # pyright: ignore[reportArgumentType]

    def _told(self, time: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Forcing that follows from time and place, then that of the file."""
        if self.lat is not None:
            first = standard_forcing(time, self.lat, self.lon)
        else:
            first = np.broadcast_to(angles(time)[:, None, None], (*own.shape[:3], 4))
        return np.concatenate([first, own], -1).astype(np.float32)
