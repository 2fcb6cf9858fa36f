"""Variables of a data set as one array, in memory or read when rows are asked for; values that are missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded.files import beyond, readable
from genkit_weather.lazy import Lazy

SAMPLE = 16, 2  # times looked at where all would be too many, of values in memory and of others


@dataclass(frozen=True)
class Layers:
    """Fields (..., y, x) of a data set as arrays (T, H, W, V), float32."""

    file: xr.Dataset
    names: tuple[str, ...]
    source: str
    stamp: str = ""
    """of the files and of how they are read; empty where neither can be told"""

    def at(self, index: dict[str, int], rows: np.ndarray) -> Any:
        """(T, H, W, V) at some rows of one member or start: an array where the values are in memory, else lazy."""
        along = "step" if "start" in self.file.dims else "time"
        picked = [self.file[n] for n in self.names]
        picked = [a.isel({d: i for d, i in index.items() if d in a.dims}) for a in picked]
        shape = (len(rows), self.file.sizes["y"], self.file.sizes["x"], len(self.names))

        def told(row: int) -> str:
            when = self.file[along].values[row]
            if along == "time":
                return str(when.astype("datetime64[s]"))
            return f"step {when} of {self.file['start'].values[index['start']].astype('datetime64[s]')}"

        def read(which: np.ndarray) -> np.ndarray:
            here = xr.Dataset({n: a.drop_vars(a.coords) for n, a in zip(self.names, picked, strict=True)})
            with readable(self.source):
                values = here.isel({along: rows[which]}).compute()
            out = np.empty((len(which), *shape[1:]), np.float32)
            for v, name in enumerate(self.names):
                field = values[name].transpose(along, ...).values
                out[..., v] = field if field.ndim == 3 else field[:, None, None]
            return finite(out, self.names, self.source, lambda t: told(int(rows[which[t]])))

        if not self.names:
            return np.zeros(shape, np.float32)
        known = key(self.stamp, self.names, index, rows)
        return read(np.arange(len(rows))) if in_memory(self.file) else Lazy(shape, read, known)


def finite(values: np.ndarray, names: tuple[str, ...], source: str, told: Callable[[int], str]) -> np.ndarray:
    """The values (T, H, W, V) as they are; `told` says when a row is.

    Raises:
        DataError: one is not finite.
    """
    bad = ~np.isfinite(values)
    if bad.any():
        t, y, x, v = np.argwhere(bad)[0]
        raise DataError(f"{source}: {names[v]} is not finite at {told(int(t))}, y {y}, x {x}")
    return values


def key(stamp: str, names: tuple[str, ...], index: dict[str, int], rows: np.ndarray) -> str:
    """The `Lazy.key` of rows of one member or start of files of a stamp; empty where the stamp is."""
    told = repr((stamp, names, sorted(index.items()), rows.tolist()))
    return hashlib.sha256(told.encode()).hexdigest() if stamp else ""


def in_memory(file: xr.Dataset) -> bool:
    """Whether all values are arrays of numpy."""
    return all(isinstance(a.variable._data, np.ndarray) for a in file.data_vars.values())


def sample(array: xr.DataArray) -> xr.DataArray:
    """At most SAMPLE times of a variable, spread evenly, and the first member, in memory."""
    most = SAMPLE[not isinstance(array.variable._data, np.ndarray)]
    picked: dict[str, Any] = {d: 0 for d in ("member",) if d in array.dims}
    for dim in {"time", "start", "step"} & set(map(str, array.dims)):
        size = array.sizes[dim]
        picked[dim] = np.unique(np.linspace(0, size - 1, min(most, size)).round().astype(int))
    return array.isel(picked).compute()


def constant(array: xr.DataArray) -> bool:
    """Whether a variable is the same at all times, also where it has no value."""

    def same(part: xr.DataArray) -> bool:
        first = part.isel(dict.fromkeys(set(part.dims) - {"y", "x"}, 0))
        return bool(((part == first) | (part.isnull() & first.isnull())).all())

    return same(sample(array)) and same(array)


@dataclass(frozen=True)
class Missing:
    """Where a data set has no values."""

    times: np.ndarray
    """(T,), or (start, step) of forecasts, bool: some variable has none at all"""
    known: np.ndarray | None
    """(H, W, V) bool: cells that have values at all other times; None if all have"""
    notes: tuple[str, ...]


def missing(file: xr.Dataset, names: tuple[str, ...], source: str, allowed: bool) -> Missing:
    """Times and cells without values (NaN), found by reading everything once.

    Of data that are not in memory, and where none are allowed, only the first time is looked at.

    Raises:
        DataError: there are, and they are not `allowed`.
    """
    along = "start" if "start" in file.dims else "time"
    each = [d for d in ("start", "time", "step") if d in file.dims]
    whole = in_memory(file) or allowed
    part = file[list(names)] if whole else file[list(names)].isel({along: [0]})
    gone, known, notes = xr.DataArray(np.zeros([part.sizes[d] for d in each], bool), dims=each), [], []
    for name in names:
        null = part[name].drop_vars(part[name].coords).isnull().compute()
        null = null if "y" in null.dims else null.expand_dims(y=1, x=1)
        count = null.sum(("y", "x"))
        others = [d for d in count.dims if d not in each]
        gone = gone | (count == null.sizes["y"] * null.sizes["x"]).any(others)
        known.append(null)
    gone = gone.transpose(*each)
    if whole and gone.all():
        raise DataError(
            f"{source}: at each time one of {', '.join(f'{n}{beyond(part[n])}' for n in names)} has no value; leave it "
            "out by --data.variables"
        )
    counts, cells = [], []
    for name, null in zip(names, known, strict=True):
        real = null & ~gone
        dims = [d for d in real.dims if d not in ("y", "x")]
        ever, always = real.any(dims).values, (null | gone).all(dims).values
        if ever.any() and not allowed:
            counts.append(f"{name} at {int(real.sum(('y', 'x')).max())}{beyond(part[name])}")
            continue
        if ever.all():
            raise DataError(
                f"{source}: {name} has no cell with values{beyond(part[name])} at all times; name others by "
                "--data.variables"
            )
        if ever.any():
            moving = f", {int((ever & ~always).sum())} of them only at some times" if (ever & ~always).any() else ""
            none = f"no value{beyond(part[name])}{moving}"
            notes.append(f"{name}: {int(ever.sum())} of {ever.size} cells have {none} and do not count")
        cells.append(~ever)
    if counts:
        raise DataError(
            f"{source}: no value (NaN) of {', '.join(counts)} of {null.sizes['y'] * null.sizes['x']} cells; if that is "
            "meant, as of the sea surface over land, --data.mask True leaves them out of statistics, loss and scores; "
            "else fill them, or name others by --data.variables"
        )
    if gone.any():
        notes.insert(0, f"{int(gone.sum())} times without any value of some variable are left out")
    if not whole:
        gone = xr.DataArray(np.zeros([file.sizes[d] for d in each], bool), dims=each)
    mask = np.stack([np.broadcast_to(c, (file.sizes["y"], file.sizes["x"])) for c in cells], -1)
    return Missing(gone.values, None if mask.all() else mask, tuple(notes))
