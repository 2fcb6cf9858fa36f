"""Forecast files: NetCDF or zarr with CF metadata, written step by step, read as an xarray Dataset."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import GenkitError
from genkit_weather.data import WeatherData

Field = tuple[str, tuple[str, ...], Any, dict[str, Any]]  # name, dimensions, values or None, attributes
DIMS = ("start", "lead", "member", "y", "x")


class ForecastFile:
    """A forecast file (start, lead, member, y, x), one array a variable, filled in pieces.

    What is not written yet is NaN, so that an interrupted forecast goes on where it stopped: `filled` tells
    which starts and members are complete. The suffix of `path` chooses the format: .nc or .zarr.

    Args:
        path: file (.nc) or folder (.zarr); one that exists with the same sizes is continued.
        data: names, units and coordinates.
        starts: (n,) datetime64, times of the last known state.
        leads: (k,) steps.
        members: number of members.
    """

    def __init__(self, path: Path, data: WeatherData, starts: np.ndarray, leads: Sequence[int], members: int):
        self.path, self.names = Path(path), data.names
        self.shape = (len(starts), len(leads), members, *data.grid)
        self.coords = _coordinates(data, starts, leads, members)
        self.attrs = {
            name: {"units": unit, "long_name": long, "coordinates": "latitude longitude"}
            if data.lat is not None
            else {"units": unit, "long_name": long}
            for name, unit, long in zip(data.names, data.units, data.long_names, strict=True)
        }
        self.store: Any = None
        try:
            self.store = self._open() or self._create()
        except OSError as error:
            raise GenkitError(f"cannot write {path}: {error}; make room or choose another --out") from error

    def write(self, start: slice, lead: slice, member: slice, values: np.ndarray) -> None:
        """Write values (start, lead, member, y, x, variable) at a place of the file."""
        try:
            for v, name in enumerate(self.names):
                self.store[name][start, lead, member] = values[..., v].astype(np.float32)
        except OSError as error:
            raise GenkitError(f"cannot write {self.path}: {error}; make room, then --resume") from error

    def filled(self, start: slice, member: slice) -> bool:
        """Whether the last lead of these starts and members is written for all variables, where they have values."""
        return all(np.isfinite(self.store[name][start, -1, member]).any((-2, -1)).all() for name in self.names)

    def close(self) -> None:
        """Flush; the file can be read by `read` afterwards."""
        if hasattr(self.store, "close"):
            self.store.close()

    def __enter__(self) -> ForecastFile:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _open(self) -> Any:
        """The file of an interrupted forecast, or None if there is none that fits."""
        if not self.path.exists():
            return None
        try:
            if self.path.suffix == ".zarr":
                import zarr

                store: Any = zarr.open_group(self.path, mode="r+")
            else:
                import h5netcdf

                store = h5netcdf.File(self.path, "r+")
        except (OSError, KeyError, ValueError):  # torn by a kill: begin again
            return None
        return store if all(n in store and store[n].shape == self.shape for n in self.names) else None

    def _create(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        discard(self.path)
        fields: list[Field] = [(n, DIMS, None, self.attrs[n]) for n in self.names] + [
            (n, dims, values, attrs) for n, (dims, values, attrs) in self.coords.items()
        ]
        if self.path.suffix == ".zarr":
            return self._create_zarr(fields)
        import h5netcdf

        store = h5netcdf.File(self.path, "w")
        store.dimensions = dict(zip(DIMS, self.shape, strict=True))
        store.attrs["Conventions"] = "CF-1.11"
        for name, dims, values, attrs in fields:
            size = (1, 1, *self.shape[2:])
            if values is None:
                array = store.create_variable(name, dims, "f4", chunks=size, fillvalue=np.float32("nan"))
            else:
                array = store.create_variable(name, dims, values.dtype, data=values)
            array.attrs.update(attrs)
        return store

    def _create_zarr(self, fields: list[Field]) -> Any:
        import zarr

        store = zarr.open_group(self.path, mode="w", attributes={"Conventions": "CF-1.11"})
        for name, dims, values, attrs in fields:
            shape, kind = (self.shape, np.dtype("f4")) if values is None else (values.shape, values.dtype)
            chunks = (1, 1, *self.shape[2:]) if values is None else "auto"
            fill = np.nan if values is None else None
            array: Any = store.create_array(
                name, shape=shape, dtype=kind, chunks=chunks, fill_value=fill, dimension_names=dims, attributes=attrs
            )
            if values is not None:
                array[...] = values
        return store


def discard(path: Path) -> None:
    """Remove a forecast file, where there is one."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def replace_file(part: Path, path: Path) -> None:
    """Put a whole forecast file or zarr store in its place; a folder that is no store is refused."""
    if path.is_dir() and not ((path / "zarr.json").exists() or (path / ".zgroup").exists()):
        raise GenkitError(f"{path} is a folder and no zarr store; choose another")
    try:
        discard(path)
        os.replace(part, path)
    except OSError as error:
        raise GenkitError(f"cannot write {path}: {error.strerror}; choose another") from error


def read(path: Path) -> xr.Dataset:
    """Open a forecast file; `lead` is in hours."""
    how: Any = {"engine": "zarr", "consolidated": False} if Path(path).suffix == ".zarr" else {"engine": "h5netcdf"}
    return xr.open_dataset(path, decode_timedelta=False, **how)


def dataset(values: np.ndarray, data: WeatherData, starts: np.ndarray, leads: Sequence[int]) -> xr.Dataset:
    """An array (start, lead, member, y, x, variable), or without member, as a Dataset."""
    members = values.shape[2] if values.ndim == 6 else 0
    dims = DIMS if members else tuple(d for d in DIMS if d != "member")
    coords = {n: c for n, c in _coordinates(data, starts, leads, members).items() if members or n != "member"}
    fields = {
        name: (dims, values[..., v], {"units": data.units[v], "long_name": data.long_names[v]})
        for v, name in enumerate(data.names)
    }
    return xr.decode_cf(xr.Dataset(fields, coords=coords), decode_timedelta=False)


def _coordinates(
    data: WeatherData, starts: np.ndarray, leads: Sequence[int], members: int
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """CF coordinates, name -> (dims, values, attributes)."""
    seconds = (np.asarray(starts).astype("datetime64[s]") - np.datetime64("1970-01-01", "s")).astype(np.int64)
    hours = data.step_hours * np.asarray(leads, np.float64)
    coords: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {
        "start": (
            ("start",),
            seconds,
            {"units": "seconds since 1970-01-01", "standard_name": "forecast_reference_time"},
        ),
        "lead": (("lead",), hours, {"units": "hours", "standard_name": "forecast_period"}),
        "member": (("member",), np.arange(members, dtype=np.int32), {"standard_name": "realization", "units": "1"}),
    }
    for axis, values in (("y", data.y), ("x", data.x)):
        if values is not None:
            attrs = {"units": "km", "standard_name": f"projection_{axis}_coordinate"}
            coords[axis] = ((axis,), np.asarray(values, np.float64), attrs)
    for name, values, units in (("latitude", data.lat, "degrees_north"), ("longitude", data.lon, "degrees_east")):
        if values is not None:
            coords[name] = (("y", "x"), np.asarray(values, np.float64), {"units": units, "standard_name": name})
    return coords
