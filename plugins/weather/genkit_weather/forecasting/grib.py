"""Forecasts as GRIB 2, a message for each member, lead and variable; needs eccodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genkit.errors import DataError, GenkitError, UsageError
from genkit_weather.data import WeatherData
from genkit_weather.gridded import factor, grib_library

SHORT = re.compile(r"(?P<stem>t|d|u|v|si|fg)(?P<height>2|10|100)m?(_\d+)?")  # cfgrib's t2m and fg10_3 are 2t and 10fg
LEVEL = re.compile(r"(?P<stem>.+?)_(?P<level>[\d.]+)")
MOST = 255  # members that fit in their octet
SPHERE = {"shapeOfTheEarth": 1, "scaleFactorOfRadiusOfSphericalEarth": 0}


def eccodes() -> Any:
    """The module; refused in one line where it is not installed."""
    try:
        return grib_library("eccodes")
    except (ImportError, RuntimeError) as error:  # RuntimeError: without its library
        raise UsageError(f"GRIB needs eccodes ({error}); pip install cfgrib eccodes, or write .nc") from None


class Message(NamedTuple):
    """A variable in GRIB: eccodes' handle, its values (scale * value + offset), and whether they hold at a moment."""

    handle: Any
    scale: float
    offset: float
    instant: bool


class GribFile:
    """A GRIB file of a forecast from one time; what it cannot hold is refused at once, entering it opens the file.

    Sums, means and extremes are those of one step of the data.

    Args:
        path: the file.
        data: names, units and places. Names are those of cfgrib (t2m, t_850) or `names`.
        start: time of the last known state.
        members: number of members.
        names: shortName of GRIB by variable.

    Raises:
        UsageError: without eccodes, a grid or variable that has no place in GRIB, too many members.
        DataError: a unit that is not that of the variable in GRIB.
    """

    def __init__(
        self, path: Path, data: WeatherData, start: np.datetime64, members: int, names: Mapping[str, str]
    ) -> None:
        self.codes, self.path, self.data, self.members = eccodes(), Path(path), data, members
        if members > MOST:
            raise UsageError(f"--members {members}: GRIB numbers at most {MOST}; ask for fewer, or write .nc")
        for name in names:
            if name not in data.names:
                raise UsageError(f"--names {name}: the model has {', '.join(data.names)}")
        stamp: datetime = start.astype("datetime64[s]").item()  # pyright: ignore[reportAssignmentType]
        grid = _grid(data)
        common = {"dataDate": int(f"{stamp:%Y%m%d}"), "dataTime": int(f"{stamp:%H%M}"), "bitsPerValue": 24}
        self.messages = [self._message(v, {**grid, **common}, names) for v in range(len(data.names))]

    def write(self, step: int, first: int, values: np.ndarray) -> None:
        """Members (member, y, x, variable) from number `first` on, after so many steps of the data."""
        ends = [round(60 * self.data.step_hours * k) for k in (step - 1, step)]
        unit, (begin, end) = ("m", ends) if any(t % 60 for t in ends) else ("h", [t // 60 for t in ends])
        for m, member in enumerate(values):
            for v, message in enumerate(self.messages):
                field = (message.scale * member[..., v].astype(np.float64) + message.offset).ravel()
                bare = ~np.isfinite(field)
                keys: dict[str, Any] = {"stepUnits": unit}
                keys |= {"step": end} if message.instant else {"startStep": begin, "endStep": end}
                keys |= {"bitmapPresent": int(bare.any()), "missingValue": 9999.0}
                if self.members > 1:
                    keys |= {"perturbationNumber": first + m, "numberOfForecastsInEnsemble": self.members}
                for key, value in keys.items():
                    self.codes.codes_set(message.handle, key, value)
                self.codes.codes_set_values(message.handle, np.where(bare, 9999.0, field))
                self.codes.codes_write(message.handle, self.file)

    def _message(self, v: int, keys: Mapping[str, Any], names: Mapping[str, str]) -> Message:
        """The message of a variable."""
        name, long = self.data.names[v], self.data.long_names[v]
        short, level = names.get(name, name), None
        found = LEVEL.fullmatch(name)
        if found and long.endswith("hPa"):
            short, level = names.get(name, found["stem"]), float(found["level"])
        elif name not in names and (near := SHORT.fullmatch(name)):
            short = f"{near['height']}{near['stem']}"
        message = self.codes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
        try:
            for key, value in keys.items():
                self.codes.codes_set(message, key, value)
            if self.members > 1:
                self.codes.codes_set(message, "productDefinitionTemplateNumber", 1)
            self.codes.codes_set(message, "shortName", short)
            if level is not None:
                self.codes.codes_set(message, "typeOfLevel", "isobaricInhPa")
                self.codes.codes_set(message, "level", level)
            unit, kind = (self.codes.codes_get(message, key) for key in ("units", "stepType"))
        except self.codes.CodesInternalError as error:
            raise UsageError(
                f"{name} has no place in GRIB as {short!r} ({error}); give its shortName by --names {name} NAME"
            ) from None
        return Message(message, *factor(self.data.units[v], unit, name), kind == "instant")

    def __enter__(self) -> GribFile:
        try:
            self.file = self.path.open("wb")
        except OSError as error:
            raise GenkitError(f"cannot write {self.path}: {error.strerror}; choose another --out") from error
        return self

    def __exit__(self, *problem: object) -> None:
        self.file.close()
        for message in self.messages:
            self.codes.codes_release(message.handle)


def _grid(data: WeatherData) -> dict[str, Any]:
    """Keys of the grid: latitudes and longitudes, turned ones, or a Lambert projection; rows as in the data."""
    if data.lat is None or data.lon is None:
        raise UsageError(f"{data.source} has no latitudes and longitudes, which GRIB needs; write .nc")
    lat, lon, (h, w) = np.asarray(data.lat, float), np.asarray(data.lon, float), data.grid
    if np.ptp(lat, axis=1).max() < 1e-4 and np.ptp(np.unwrap(lon, axis=0, period=360), axis=0).max() < 1e-4:
        return {"gridType": "regular_ll", **_degrees(lat[:, 0], np.unwrap(lon[0], period=360), data.source)}
    attrs: dict[str, Any] = {}
    if data.crs is not None:
        from pyproj import CRS, Transformer

        crs = CRS.from_wkt(data.crs)
        attrs = crs.to_cf()
    kind = attrs.get("grid_mapping_name")
    if kind == "rotated_latitude_longitude":
        x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
        pole = attrs["grid_north_pole_latitude"], attrs["grid_north_pole_longitude"]
        return {
            "gridType": "rotated_ll",
            **_degrees(np.median(y, 1), np.median(x, 0), data.source),
            "latitudeOfSouthernPoleInDegrees": -float(pole[0]),
            "longitudeOfSouthernPoleInDegrees": (float(pole[1]) + 180) % 360,
            "angleOfRotationInDegrees": float(attrs.get("north_pole_grid_longitude", 0.0)),
        }
    if kind == "lambert_conformal_conic" and data.x is not None and data.y is not None:
        (dx, dy), parallels = (_even(a, data.source) for a in (data.x, data.y)), np.ravel(attrs["standard_parallel"])
        return {
            "gridType": "lambert",
            **SPHERE,
            "scaledValueOfRadiusOfSphericalEarth": round(float(attrs.get("earth_radius", attrs["semi_major_axis"]))),
            "Nx": w,
            "Ny": h,
            "latitudeOfFirstGridPointInDegrees": float(lat[0, 0]),
            "longitudeOfFirstGridPointInDegrees": float(lon[0, 0]) % 360,
            "LaDInDegrees": float(attrs.get("latitude_of_projection_origin", parallels[0])),
            "LoVInDegrees": float(attrs["longitude_of_central_meridian"]) % 360,
            "DxInMetres": abs(1000 * dx),
            "DyInMetres": abs(1000 * dy),
            "Latin1InDegrees": float(parallels[0]),
            "Latin2InDegrees": float(parallels[-1]),
            "iScansNegatively": int(dx < 0),
            "jScansPositively": int(dy > 0),
        }
    raise UsageError(
        f"{data.source}: only grids of latitudes and longitudes, turned ones and Lambert grids are written as GRIB; "
        "write .nc"
    )


def _degrees(lat: np.ndarray, lon: np.ndarray, source: str) -> dict[str, Any]:
    """Keys of rows and columns in degrees."""
    dy, dx = _even(lat, source), _even(lon, source)
    return {
        "Ni": len(lon),
        "Nj": len(lat),
        "latitudeOfFirstGridPointInDegrees": float(lat[0]),
        "latitudeOfLastGridPointInDegrees": float(lat[-1]),
        "longitudeOfFirstGridPointInDegrees": float(lon[0]) % 360,
        "longitudeOfLastGridPointInDegrees": float(lon[-1]) % 360,
        "iDirectionIncrementInDegrees": abs(dx),
        "jDirectionIncrementInDegrees": abs(dy),
        "iScansNegatively": int(dx < 0),
        "jScansPositively": int(dy > 0),
    }


def _even(axis: np.ndarray, source: str) -> float:
    """The step of an axis whose steps are equal."""
    steps = np.diff(np.asarray(axis, float))
    if np.ptp(steps) > 1e-3 * np.abs(steps).mean():
        raise DataError(f"{source}: rows or columns are not equally far apart, as GRIB needs; write .nc")
    return float(steps.mean())
