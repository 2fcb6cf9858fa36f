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
        self.attrs, self.frame = _attributes(data, self.coords), list(data.frame)
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
        store.attrs.update({"Conventions": "CF-1.11", "frame": self.frame})
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

        store = zarr.open_group(self.path, mode="w", attributes={"Conventions": "CF-1.11", "frame": self.frame})
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
    return xr.open_dataset(path, decode_timedelta=False, decode_coords="all", **how)


def _attributes(data: WeatherData, coords: dict[str, Any]) -> dict[str, dict[str, str]]:
    """CF attributes of each variable."""
    places = " ".join(n for n in ("latitude", "longitude", "valid_time", "surface_altitude") if n in coords)
    standard = data.standard_names or ("",) * len(data.names)
    return {
        name: {"units": unit, "long_name": long, "coordinates": places}
        | ({"standard_name": known} if known else {})
        | ({"grid_mapping": "crs"} if "crs" in coords else {})
        for name, unit, long, known in zip(data.names, data.units, data.long_names, standard, strict=True)
    }


def dataset(values: np.ndarray, data: WeatherData, starts: np.ndarray, leads: Sequence[int]) -> xr.Dataset:
    """An array (start, lead, member, y, x, variable), or without member, as a Dataset."""
    members = values.shape[2] if values.ndim == 6 else 0
    dims = DIMS if members else tuple(d for d in DIMS if d != "member")
    coords = {n: c for n, c in _coordinates(data, starts, leads, members).items() if members or n != "member"}
    known = _attributes(data, coords)
    plain = {name: {k: a for k, a in known[name].items() if k not in ("coordinates", "grid_mapping")} for name in known}
    fields = {name: (dims, values[..., v], plain[name]) for v, name in enumerate(data.names)}
    return xr.decode_cf(xr.Dataset(fields, coords=coords), decode_timedelta=False)


def _coordinates(
    data: WeatherData, starts: np.ndarray, leads: Sequence[int], members: int
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """CF coordinates and the grid mapping, name -> (dims, values, attributes)."""
    seconds = (np.asarray(starts).astype("datetime64[s]") - np.datetime64("1970-01-01", "s")).astype(np.int64)
    hours, since = data.step_hours * np.asarray(leads, np.float64), {"units": "seconds since 1970-01-01"}
    valid = seconds[:, None] + np.rint(3600 * hours).astype(np.int64)
    coords: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {
        "start": (("start",), seconds, since | {"standard_name": "forecast_reference_time"}),
        "lead": (("lead",), hours, {"units": "hours", "standard_name": "forecast_period"}),
        "valid_time": (("start", "lead"), valid, since | {"standard_name": "time", "long_name": "time of validity"}),
        "member": (("member",), np.arange(members, dtype=np.int32), {"standard_name": "realization", "units": "1"}),
    }
    coords |= _projected(data)
    for name, values, units in (("latitude", data.lat, "degrees_north"), ("longitude", data.lon, "degrees_east")):
        if values is not None:
            coords[name] = (("y", "x"), np.asarray(values, np.float64), {"units": units, "standard_name": name})
    if data.elevation is not None:
        told = {"units": "m", "standard_name": "surface_altitude"}
        coords["surface_altitude"] = (("y", "x"), np.asarray(data.elevation, np.float64), told)
    return coords


def _projected(data: WeatherData) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Coordinates y and x, in km or in degrees of a rotated pole, and the grid mapping `crs` where it is known."""
    axes, coords = {"y": data.y, "x": data.x}, {}
    units, names = "km", {"y": "projection_y_coordinate", "x": "projection_x_coordinate"}
    if data.crs is not None:
        from pyproj import CRS, Transformer

        crs = CRS.from_wkt(data.crs)
        attrs = {k: list(v) if isinstance(v, tuple) else v for k, v in crs.to_cf().items()}
        if attrs.get("grid_mapping_name") == "lambert_conformal_conic":  # pyproj leaves it out of a tangent cone
            attrs.setdefault("latitude_of_projection_origin", attrs["standard_parallel"])
        coords["crs"] = ((), np.int32(0), attrs)
        if attrs.get("grid_mapping_name") == "rotated_latitude_longitude" and data.lat is not None:
            turn = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
            x, y = turn.transform(np.asarray(data.lon), np.asarray(data.lat))
            units, names = "degrees", {"y": "grid_latitude", "x": "grid_longitude"}
            axes = {"y": np.median(y, 1), "x": np.median(x, 0)}
    for axis, values in axes.items():
        if values is not None:
            attrs = {"units": units, "standard_name": names[axis], "axis": axis.upper()}
            coords[axis] = ((axis,), np.asarray(values, np.float64), attrs)
    return coords
