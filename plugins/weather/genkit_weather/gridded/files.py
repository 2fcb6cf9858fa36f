"""Files of gridded data, opened lazily: NetCDF, zarr and GRIB; one, many, or a pattern."""

from __future__ import annotations

import errno
import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError, GenkitError
from genkit_weather.gridded.names import role

METADATA = ("zarr.json", ".zmetadata", ".zgroup")
MARKS = ("ETag", "etag", "LastModified", "last_modified", "generation", "updated", "mtime", "md5Hash")  # of fsspec
VALID = "valid_range", "valid_min", "valid_max"  # the CF conventions, section 2.5.1
GRIB = (".grib", ".grb", ".grib2", ".grb2", ".grib1")
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5")
PACKING = "scale_factor", "add_offset", "_FillValue", "missing_value"
DATED = "'hours since 2020-01-01 00:00' and a calendar of the CF conventions"
UNREAD = re.compile(r"unable to decode time units (.*?) with (.*?)\. Try")  # of xarray


class Damaged(DataError):
    """What a file holds cannot be read."""


def paths_of(pattern: str) -> list[str]:
    """The files of a path, a pattern (data/era5_*.nc) or a URL of a zarr store; of a folder, those inside it.

    Raises:
        DataError: there is none.
    """
    if "://" in pattern:
        return [pattern]
    path = Path(pattern).expanduser()
    if _is_zarr(path):
        return [str(path)]
    if path.is_dir():
        shown = (p for p in path.iterdir() if not p.name.startswith("."))
        found = sorted(filter(_is_data, shown))
        if not found:
            raise DataError(
                f"{path} holds no NetCDF, GRIB or zarr files; give a pattern such as '{path}/*' or '{path}/**/*.nc'"
            )
        return list(map(str, found))
    matched = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    folders = {p for p in matched if p.is_dir() and not _is_zarr(p)}
    found = [str(p) for p in matched if p not in folders and p.suffix not in (".idx", ".json")]
    for folder in sorted(folders - {above for f in found for above in Path(f).parents}):
        if any(map(_is_data, folder.rglob("*"))):
            raise DataError(
                f"{pattern} matches the folder {folder} and none of its files; give a pattern of files, as "
                f"'{path.parent}/**/*.nc' or '{path.parent}/*.nc'"
            )
    if not found:
        raise DataError(f"{pattern}: no such file; give a file, a zarr folder or a pattern in quotes, as 'data/*.nc'")
    return found


def stamp(pattern: str) -> str:
    """What is another where the files of a pattern are: paths, sizes and times; of a URL what `_remote` finds."""
    if "://" in pattern:
        return _remote(pattern)
    told = []
    for path in map(Path, paths_of(pattern)):
        parts = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        states = [p.stat() for p in parts]
        told.append(
            (str(path.resolve()), len(parts), sum(s.st_size for s in states), max(s.st_mtime_ns for s in states))
        )
    return repr(told)


def _remote(url: str) -> str:
    """When the metadata of a store behind a URL was written, as its server tells; empty where it tells nothing."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
        for name in METADATA:
            if system.exists(f"{path}/{name}"):
                told = system.info(f"{path}/{name}")
                marks = {k: str(told[k]) for k in MARKS if told.get(k)}
                return repr((url, marks)) if marks else ""
    except Exception:  # fsspec and its clients raise what they like; the store is opened elsewhere
        return ""
    return ""


def _is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / n).exists() for n in METADATA)


def _is_data(path: Path) -> bool:
    return _is_zarr(path) or path.suffix.lower() in (*NETCDF, *GRIB)


def open_path(path: str) -> list[xr.Dataset]:
    """The data sets of a file: one, but of GRIB one for each kind of level. Values are read when they are needed.

    Raises:
        Damaged: what the file holds cannot be read.
        DataError: a library is missing, or the system does not let the file be read.
    """
    try:
        if "://" in path or _is_zarr(Path(path)):
            return [decoded(xr.open_zarr(path, consolidated=None, decode_cf=False, chunks={}))]
        if Path(path).suffix.lower() in GRIB or _magic(path) == b"GRIB":
            return _grib(path)
        engine = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}.get(magic := _magic(path))
        if engine is None:
            raise Damaged(f"{path} is {_kind(magic)}; expected NetCDF (3 or 4), GRIB or a zarr folder")
        return [decoded(xr.open_dataset(path, engine=engine, decode_cf=False, chunks={}))]  # type: ignore[arg-type]
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{path}: {error}; install fsspec's client for it (gs:// gcsfs, https:// aiohttp)") from None
    except Exception as error:  # xarray, its engines, codecs and clients raise what they like
        if undated := UNREAD.match(str(error)):
            raise Damaged(f"{path}: times {undated[1]} with {undated[2]} are no dates; expected {DATED}") from None
        if _of_machine(error):
            raise DataError(f"cannot read {path}: {_line(error)}") from None
        raise Damaged(f"cannot read {path}: {_line(error)}; expected NetCDF, GRIB or a zarr folder") from None


def _of_machine(error: Exception) -> bool:
    """Whether the system or a missing library is at fault, whatever a file holds."""
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL)  # a damaged file may tell a place that cannot be
    return isinstance(error, MemoryError | ImportError) or str(error).startswith("unrecognized engine")


@contextmanager
def readable(pattern: str) -> Iterator[None]:
    """Names the file of a pattern whose values cannot be read, where what is inside fails for that."""
    try:
        yield
    except (GenkitError, MemoryError, ImportError, LookupError, TypeError, AttributeError):  # of no file
        raise
    except Exception as error:  # h5py, zarr and their codecs raise what they like
        if _of_machine(error):
            raise DataError(f"cannot read the values of {pattern}: {_line(error)}") from error
        if (broken := _broken(pattern)) is None:
            raise
        raise DataError(f"cannot read the values of {broken}: {_line(error)}; copy or download it again") from error


def _broken(pattern: str) -> str | None:
    """The first file of a pattern that cannot be read, block by block; None of a URL and of data of no file."""
    try:
        paths = [] if "://" in pattern else paths_of(pattern)
    except DataError:
        return None
    for path in paths:
        try:
            for array in (a for file in open_path(path) for a in file.variables.values() if a.chunks):
                values: Any = array.data
                for block in values.to_delayed().ravel():
                    block.compute()
        except Exception:
            return path
    return None


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:150]


def grib_library(name: str) -> Any:
    """The module cfgrib or eccodes; pyproj comes first, as each brings a library of projections and its own must."""
    import_module("pyproj")
    return import_module(name)


def _magic(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(4)


def _kind(magic: bytes) -> str:
    """What a file is that is none of those that are read."""
    known = {b"": "empty", b"CDF\x05": "NetCDF of 64-bit data (nccopy -k nc4 converts it)", b"\x0e\x03\x13\x01": "HDF4"}
    packed = {b"\x1f\x8b": "packed by gzip", b"PK": "packed by zip", b"BZ": "packed by bzip2"}
    return known.get(magic) or packed.get(magic[:2]) or f"of another kind: it begins with {magic!r}"


def decoded(file: xr.Dataset) -> xr.Dataset:
    """With numbers unpacked and dates of the calendar; durations stay numbers; values outside their range are none.

    A range of packed numbers does not count where arithmetic has left values of no file: xarray keeps attributes then.
    """
    file = file.copy()  # with attributes of its own
    for array in file.variables.values():
        if array.dtype.kind == "f" and "dtype" not in array.encoding:
            for name in (n for n in VALID if np.asarray(array.attrs.get(n)).dtype.kind in "iu"):
                del array.attrs[name]
        for name in PACKING:
            if array.dtype.kind in "fiu" and isinstance(said := array.attrs.get(name), str):
                array.attrs[name] = _number(said, array.dtype if name in PACKING[2:] else np.dtype(float))
    file = xr.decode_cf(file, decode_times=False)
    fields = {n: a for n, a in file.data_vars.items() if a.dtype.kind == "f"}
    places = "latitude", "longitude"  # whose valid range often is that of the other turn
    file = file.assign({n: _valid(a) for n, a in fields.items() if role(n, file) not in places})
    for name in map(str, file.variables):
        units = str(file[name].attrs.get("units", ""))
        if units.startswith("day as %Y%m%d"):  # absolute dates of CDO
            file = file.assign_coords({name: _absolute(file[name])})
    return xr.decode_cf(file, decode_timedelta=False)


def _number(text: str, kind: np.dtype) -> Any:
    """What an attribute of packed numbers says that is written as text."""
    try:
        return kind.type(float(text))
    except (ValueError, OverflowError):
        return text


def _valid(array: xr.DataArray) -> xr.DataArray:
    """Values within the range of `VALID`: of packed numbers, if its ends are of their type.

    Ends may be lists (zarr); a range that is reversed does not count.
    """
    attrs, packed = array.attrs, array.encoding
    ends = [np.ravel(attrs.get(n, end))[:1] for n, end in (("valid_min", -np.inf), ("valid_max", np.inf))]
    both = np.ravel(attrs["valid_range"]) if "valid_range" in attrs else np.concatenate(ends)
    if len(both) != 2 or both.dtype.kind not in "iuf" or not np.isfinite(both).any() or "_Unsigned" in packed:
        return array
    kind, low, high = np.dtype(packed.get("dtype", float)).kind, *map(float, both)
    if not low <= high:
        return array
    if kind in "iu" and any(np.asarray(attrs[n]).dtype.kind in "iu" for n in VALID if n in attrs):
        scale, offset = float(packed.get("scale_factor", 1)), float(packed.get("add_offset", 0))
        low, high = sorted(scale * end + offset for end in (low - 0.5, high + 0.5))
    valid = array.where((array >= low) & (array <= high))
    valid.encoding = packed
    return valid


def beyond(array: xr.DataArray) -> str:
    """What else than NaN a value that is none may have been, for errors: " (or beyond its valid_max)"."""
    held = [n for n in VALID if n in array.attrs]
    return f" (or beyond its {' and '.join(held)})" if held else ""


def _absolute(coord: xr.DataArray) -> xr.DataArray:
    """Dates written as the number 20200101.25."""
    days = np.floor(coord.values)
    labels = [f"{int(d):08d}" for d in days]
    stamps = np.array([f"{t[:4]}-{t[4:6]}-{t[6:]}" for t in labels], "datetime64[s]")
    return coord.copy(data=stamps + np.rint((coord.values - days) * 86400).astype("timedelta64[s]")).drop_attrs()


def _grib(path: str) -> list[xr.Dataset]:
    try:
        cfgrib = grib_library("cfgrib")
    except (ImportError, RuntimeError):  # cfgrib without the library ecCodes
        raise DataError(f"{path}: reading GRIB needs cfgrib; pip install cfgrib eccodes") from None
    options: Any = {"indexpath": "", "read_keys": ["uvRelativeToGrid"]}
    found = cfgrib.open_datasets(path, backend_kwargs=options)
    if not found:
        raise Damaged(f"{path}: no GRIB messages that cfgrib can read")
    return [file.chunk() for file in found]
