"""Where the cells of a file lie: rows and columns, latitudes and longitudes, kilometres, the projection."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import EARTH, arc, unit_vectors
from genkit_weather.gridded.names import POINTS, ROLES, described, find, role
from genkit_weather.gridded.units import convert

SPACING = 0.01, 2000.0  # km between neighbouring cells that one believes
MAPPING = (
    "grid_mapping_name",
    "crs_wkt",
    "spatial_ref",
)  # attributes of a grid mapping, of the CF conventions and of GDAL


def horizontal(file: xr.Dataset, source: str) -> tuple[str, str]:
    """The dimensions of rows and columns.

    Those of the coordinates of latitude and longitude, else those that are called so, else the two that are left of
    the first variable; of two without names the first has the rows.
    """
    lats, lons = find(file, "latitude"), find(file, "longitude")
    for lat, lon in ((a, b) for a in lats for b in lons):
        one, two = ([d for d in file[n].dims if role(d, file) not in ("time", "start")] for n in (lat, lon))
        if len(one) == len(two) == 1 and one != two:
            return str(one[0]), str(two[0])
        if len(one) == 2 and set(one) == set(two):
            return _ordered(one, file)
        if len(one) == 1 and one == two and file.sizes[one[0]] > 1:
            raise DataError(_points(source, one[0]))
    known = {key: next((str(d) for d in file.dims if role(d, file) == key), None) for key in ("y", "x")}
    if known["y"] and known["x"]:
        return known["y"], known["x"]
    other = set(ROLES) - {"y", "x", "latitude", "longitude"}
    for array in file.data_vars.values():
        left = [d for d in array.dims if role(d, file) not in other]
        if len(left) == 2:
            return _ordered(left, file)
    if points := [d for d in file.dims if str(d).lower() in POINTS]:
        raise DataError(_points(source, points[0]))
    raise DataError(f"{source}: no variable has rows and columns; found {described(file)}")


def _ordered(dims: list[Any], file: xr.Dataset) -> tuple[str, str]:
    """Rows and columns of two dimensions, turned where their names say so."""
    first, second = (role(d, file) for d in dims)
    turned = first in ("x", "longitude") or second in ("y", "latitude")
    return (str(dims[1]), str(dims[0])) if turned else (str(dims[0]), str(dims[1]))


def _points(source: str, dim: Any) -> str:
    return (
        f"{source}: the values lie on points along {dim}, not on rows and columns; interpolate them to a grid first "
        "(cdo remapbil, or xesmf)"
    )


def placed(file: xr.Dataset, source: str) -> xr.Dataset:
    """The file with dimensions y and x that ascend, and the coordinates that it has or that follow from them.

    Coordinates are latitude and longitude (y, x) in degrees, x and y in km, and the attribute `crs` in WKT. Longitudes
    run on where they cross the end of their circle. Notes are added to the attribute `notes`.

    Raises:
        DataError: points on no grid, holes between rows or columns, units that cannot be.
    """
    rows, columns = horizontal(file, source)
    notes = list(file.attrs.get("notes", ()))
    crs = _projection(file, notes)
    lat, lon = (_degrees(file, key, (rows, columns), source) for key in ("latitude", "longitude"))
    axes = {"y": _axis(file, rows), "x": _axis(file, columns)}
    if crs is not None and crs.is_geographic and crs.coordinate_operation is None:  # no plane, and no rotated pole
        planes = [a.values.astype(float) for a in axes.values() if a is not None and a.dtype.kind in "fiu"]
        if lat is None and lon is None and len(planes) == 2:
            lat, lon = np.meshgrid(*planes, indexing="ij")
            axes = {"y": None, "x": None}
        crs = None
    drop = [n for n in (*find(file, "latitude"), *find(file, "longitude"), rows, columns) if n in file.variables]
    drop += [n for n in file.variables if {*MAPPING} & {*file[n].attrs} and n not in drop]
    file = file.drop_vars(drop).rename({rows: "y", columns: "x"})
    for dim in ("y", "x"):
        if file.sizes[dim] < 2:
            raise DataError(f"{source} has {file.sizes[dim]} cells along {dim}; expected a grid of at least 2 x 2")
    if lat is None or lon is None:
        lat, lon = _from_projection(crs, axes, source)
    if lat is not None and (np.abs(lat) > 90.01).any():
        raise DataError(f"{source}: latitudes go to {np.abs(lat).max():g} degrees; are they exchanged with longitudes?")
    if lon is not None and (np.abs(lon) > 720).any():
        raise DataError(f"{source}: longitudes go to {np.abs(lon).max():g} degrees; is that a fill value?")
    kilometres = _kilometres(axes, lat, lon, source, notes)
    order = {"y": np.arange(file.sizes["y"]), "x": np.arange(file.sizes["x"])}
    if lat is not None and lon is not None:
        if regular(lat, lon):
            order["y"], (order["x"], east) = np.argsort(lat[:, 0], kind="stable"), _eastward(lon[0], source)
            _whole(np.sort(lat[:, 0]), source)
            lon = np.broadcast_to(east, lon.shape)[:, np.argsort(order["x"])]
        else:
            lon = np.unwrap(np.unwrap(lon, period=360, axis=0), period=360, axis=1)
            lon = lon - 360 * np.round(np.median(lon) / 360)
            order["y"] = order["y"][:: -1 if np.median(np.diff(lat, axis=0)) < 0 else 1]
            order["x"] = order["x"][:: -1 if np.median(np.diff(lon, axis=1)) < 0 else 1]
    for dim, values in kilometres.items():
        order[dim] = np.argsort(values, kind="stable")
    file = file.isel({d: o for d, o in order.items() if (np.diff(o) != 1).any()})
    coords: dict[str, Any] = {dim: ((dim,), values[order[dim]], {"units": "km"}) for dim, values in kilometres.items()}
    for name, values in (("latitude", lat), ("longitude", lon)):
        if values is not None:
            coords[name] = (("y", "x"), np.asarray(values, np.float64)[np.ix_(order["y"], order["x"])])
    if lat is not None and lon is not None:
        _check_spacing(coords, source)
    attrs = {**file.attrs, "notes": tuple(notes)}
    return file.assign_coords(coords).assign_attrs(attrs | ({} if crs is None else {"crs": crs.to_wkt()}))


def _axis(file: xr.Dataset, dim: str) -> xr.DataArray | None:
    """The coordinate of a dimension, where it is one of the projection."""
    if dim not in file.coords or role(dim, file) in ("latitude", "longitude"):
        return None
    return file[dim]


def _degrees(file: xr.Dataset, wanted: str, dims: tuple[str, str], source: str) -> np.ndarray | None:
    """(rows, columns) latitudes or longitudes in degrees, where the file has them."""
    for name in find(file, wanted):
        array = file[name]
        array = array.isel({d: 0 for d in array.dims if d not in dims})  # files of WRF repeat them at each time
        if not array.dims:
            continue
        grid = xr.DataArray(np.zeros([file.sizes[d] for d in dims]), dims=dims)
        values = np.asarray(array.drop_vars(array.coords).broadcast_like(grid).transpose(*dims), np.float64)
        unit = str(array.attrs.get("units", "degree")).lower()
        values = np.rad2deg(values) if unit.startswith("rad") else values
        if not np.isfinite(values).all():
            raise DataError(f"{source}: {name} is not finite at {int((~np.isfinite(values)).sum())} cells")
        return values
    return None


def _projection(file: xr.Dataset, notes: list[str]) -> Any:
    """What pyproj makes of the file's grid mapping, if there is one."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    for name in map(str, file.variables):
        attrs = file[name].attrs
        if not {*MAPPING} & {*attrs}:
            continue
        kind = attrs.get("grid_mapping_name", "unnamed")
        try:
            return CRS.from_cf({k: v.item() if getattr(v, "size", 0) == 1 else v for k, v in attrs.items()})
        except (CRSError, KeyError, ValueError, TypeError) as error:
            what = error.args[0] if isinstance(error, KeyError) else str(error).splitlines()[0][:80]
            notes.append(f"the grid mapping {name} ({kind}) is not complete ({what}): it is left out")
    return None


def _from_projection(crs: Any, axes: dict[str, Any], source: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Latitudes and longitudes (y, x) of the coordinates of a projection."""
    if crs is None or axes["x"] is None or axes["y"] is None:
        return None, None
    from pyproj import Transformer

    unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
    planes = [np.asarray(axes[d].values, float) for d in ("x", "y")]
    if unit.startswith("met"):
        units = [str(axes[d].attrs.get("units", "m")) for d in ("x", "y")]
        planes = [convert(p, u, "m", f"{source}: {d}") for p, u, d in zip(planes, units, "xy", strict=True)]
    x, y = np.meshgrid(*planes)
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    return np.asarray(lat), np.asarray(lon)


def _kilometres(
    axes: dict[str, Any], lat: np.ndarray | None, lon: np.ndarray | None, source: str, notes: list[str]
) -> dict[str, np.ndarray]:
    """x and y in km, where the file has them as lengths, of a spacing that can be and that agrees with the places."""
    if any(a is None or a.dtype.kind not in "fiu" for a in axes.values()):
        return {}
    if any(str(a.attrs.get("units", "")).lower().startswith(("deg", "rad")) for a in axes.values()):
        return {}  # of a rotated pole
    out = {}
    for axis, (dim, coord) in enumerate(axes.items()):
        unit = str(coord.attrs.get("units", "") or "")
        values = np.asarray(coord.values, np.float64)
        real = None if lat is None or lon is None else neighbours(lat, lon, axis)
        if unit in ("", "1"):  # numbers of rows, or a length without unit
            if real is None and (np.abs(np.diff(values)) < 1.5).all():
                notes.append(f"{dim} has no units: taken as km")
            elif real is not None and not any(0.5 < s * real / np.abs(np.diff(values)).mean() < 2 for s in (1, 1000)):
                return {}
            far = np.abs(np.diff(values)).mean()
            metres = far > SPACING[1] if real is None else far / real > 30
            unit = "m" if metres else "km"
        out[dim] = convert(values, unit, "km", f"{source}: {dim}")
        steps = np.abs(np.diff(out[dim]))
        found = f"{source}: {dim} is said to be in {unit!r}, which makes cells of {steps.mean():.6g} km"
        if not SPACING[0] <= steps.mean() <= SPACING[1]:
            raise DataError(f"{found}; correct its units (m, km)")
        if real is not None and not 0.5 < steps.mean() / real < 2:
            raise DataError(f"{found}, but latitudes and longitudes make {real:.4g} km; correct the units of {dim}")
        _even(np.sort(out[dim]), dim, source)
    return out


def regular(lat: np.ndarray, lon: np.ndarray) -> bool:
    """Whether each row has one latitude and each column one longitude."""
    return bool(np.ptp(lat, axis=1).max() < 1e-5 and np.ptp(lon, axis=0).max() < 1e-5)


def neighbours(lat: np.ndarray, lon: np.ndarray, axis: int) -> float:
    """Median distance in km of neighbours along an axis."""
    points = EARTH * unit_vectors(lat, lon)
    return float(np.median(arc(np.linalg.norm(np.diff(points, axis=axis), axis=-1))))


def _eastward(lon: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Order (W,) of longitudes to the east, beginning after the widest hole of the circle, and the longitudes then.

    They begin in -180..180; a whole circle begins where the file does.
    """
    turned = lon % 360
    order = np.argsort(turned, kind="stable")
    if len(np.unique(np.round(turned, 6))) < len(turned):
        raise DataError(f"{source}: a longitude stands twice; drop the column that repeats")
    holes = np.diff(turned[order], append=turned[order[0]] + 360)
    around = len(lon) > 2 and np.ptp(holes) < 1e-3 * 360 / len(lon) + 1e-4
    widest = np.argmax(turned[order] == turned[0]) - 1 if around else int(np.argmax(holes))
    order = np.roll(order, -(widest + 1))
    begin = lon[order[0]] if around else (lon[order[0]] + 180) % 360 - 180
    east = begin + (turned[order] - turned[order[0]]) % 360
    _even(east, "longitude", source)
    return order, east


def _whole(lat: np.ndarray, source: str) -> None:
    """Refuse ascending latitudes with one twice, or with a hole: a step longer than both beside it."""
    steps = np.diff(lat)
    if (steps <= 1e-6).any():
        raise DataError(f"{source}: latitude has {lat[int(np.argmin(steps))]:g} twice; drop one")
    beside = np.maximum(np.append(0, steps[:-1]), np.append(steps[1:], 0))
    if len(steps) > 1 and (steps > 1.6 * beside).any():
        at = int(np.argmax(steps / beside))
        raise DataError(
            f"{source}: latitude jumps from {lat[at]:g} to {lat[at + 1]:g}, beside it by {beside[at]:g}; cut the area "
            "to one side of the hole"
        )


def _even(values: np.ndarray, name: str, source: str) -> None:
    """Refuse an ascending axis with a value twice or a hole."""
    steps = np.diff(values)
    if (steps <= 0).any():
        raise DataError(f"{source}: {name} has {values[int(np.argmin(steps))]:g} twice; drop one")
    usual = np.median(steps)
    if steps.max() > 1.6 * usual:
        at = int(np.argmax(steps))
        raise DataError(
            f"{source}: {name} jumps from {values[at]:g} to {values[at + 1]:g}, its steps are {usual:g}; cut the area "
            "to one side of the hole"
        )


def _check_spacing(coords: dict[str, Any], source: str) -> None:
    """Refuse neighbours that are much farther apart than others along a row or a column (but for poles)."""
    lat, lon = (coords[n][1] for n in ("latitude", "longitude"))
    points = EARTH * unit_vectors(lat, lon)
    for axis, name in ((0, "rows"), (1, "columns")):
        far = arc(np.linalg.norm(np.diff(points, axis=axis), axis=-1))
        usual = np.median(far, axis=axis, keepdims=True)
        if (far > 5 * np.maximum(usual, np.median(far) / 100)).any():
            worst = float((far / np.maximum(usual, 1e-9)).max())
            raise DataError(
                f"{source}: two neighbouring {name} lie {far.max():.4g} km apart, {worst:.3g} times as far as others; "
                "cut the area to one side of the hole"
            )
