"""WeatherBench2: global analyses on a regular grid as a zarr store, local or remote."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genkit.errors import DataError, UsageError
from genkit_weather.area import NAMES, standard_forcing
from genkit_weather.data import Series, WeatherData
from genkit_weather.lazy import Lazy

LEVELS = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)  # hPa
VARIABLES = (
    "geopotential",
    "specific_humidity",
    "temperature",
    "u_component_of_wind",
    "v_component_of_wind",
    "vertical_velocity",
    "2m_temperature",
    "10m_u_component_of_wind",
    "10m_v_component_of_wind",
    "mean_sea_level_pressure",
    "total_precipitation_6hr",
)
STATIC = ("geopotential_at_surface", "land_sea_mask")


@dataclass(frozen=True)
class WeatherBench2:
    """A zarr store laid out as those of WeatherBench2: time, (level,) longitude, latitude, every 6 h.

    Variables with levels become one each level, as temperature_850. Rows run from the north; values are read on
    indexing. A URL (https://, gs://) needs fsspec's client for it. Forcing is computed: sunshine, hour and year.
    """

    path: str = "weatherbench2.zarr"
    """the store: a folder or a URL"""
    variables: tuple[str, ...] = VARIABLES
    """variables of the state"""
    levels: tuple[int, ...] = LEVELS
    """pressure levels in hPa"""
    static: tuple[str, ...] = STATIC
    """fields that do not change; those that the store lacks are left out"""
    region: tuple[float, float, float, float] | None = None
    """south, north, west, east in degrees; the globe if none"""
    frame: int = 0
    """cells of the frame on each side, in a region"""
    train: tuple[str, str] = ("1979-01-01", "2017-12-31")
    """first and last day of the training split"""
    val: tuple[str, str] = ("2018-01-01", "2019-12-31")
    """of the validation split"""
    test: tuple[str, str] = ("2020-01-01", "2020-12-31")
    """of the test split"""
    step: int = 6
    """hours between states"""

    suggests: ClassVar[dict[str, Any]] = {
        "formulation.guess": "persistence",
        "formulation.fill": False,
        "latitude": True,
    }

    @classmethod
    def preset(cls, name: str) -> "WeatherBench2":
        """The whole globe in every preset."""
        return cls()

    def load(self) -> WeatherData:
        """Open the store; nothing but coordinates and static fields is read."""
        file = self._select(self._open())
        file = file.sel(level=self._levels(file)) if "level" in file.dims else file
        parts = [(n, level) for n in self.variables for level in (self.levels if "level" in file[n].dims else [None])]
        names = tuple(name if level is None else f"{name}_{level}" for name, level in parts)
        lat, lon = np.meshgrid(file["latitude"].values, file["longitude"].values, indexing="ij")
        h, w = lat.shape
        if self.frame < 0 or 2 * self.frame >= min(h, w):
            raise DataError(f"{self.path}: a frame of {self.frame} leaves no interior of {h} x {w} cells")
        fixed = [n for n in self.static if n in file]
        fields = [lat, np.cos(np.deg2rad(lon)), np.sin(np.deg2rad(lon))]
        fields += [file[n].transpose("latitude", "longitude").values for n in fixed]
        described = [file[name].attrs for name, _ in parts]
        return WeatherData(
            *((self._series(file, len(parts), split, lat, lon),) for split in ("train", "val", "test")),
            static=np.stack(fields, -1).astype(np.float32),
            frame=(self.frame, self.frame),
            names=names,
            units=tuple(str(a.get("units", "1")) for a in described),
            long_names=tuple(
                f"{a.get('long_name', name)}" + ("" if level is None else f" at {level} hPa")
                for a, (name, level) in zip(described, parts, strict=True)
            ),
            forcing_names=NAMES,
            static_names=("lat", "cos_lon", "sin_lon", *fixed),
            step_hours=float(self.step),
            lat=lat.astype(np.float32),
            lon=lon.astype(np.float32),
            diurnal=True,
            source="weatherbench2",
        )

    def _open(self) -> Any:
        from pathlib import Path

        import xarray as xr

        path = self.path if "://" in self.path else str(Path(self.path).expanduser())
        if "://" not in path and not Path(path).exists():
            raise DataError(f"{path}: no such zarr store; set path to a folder or a URL")
        try:
            file = xr.open_zarr(path, consolidated=None, chunks=None)
        except ImportError as error:
            raise DataError(
                f"{path}: {error}; install fsspec's client for it (gs:// gcsfs, https:// aiohttp)"
            ) from None
        except Exception as error:  # zarr, xarray, codecs and clients raise what they like
            raise DataError(f"{path}: not a readable zarr store ({(str(error).splitlines() or [''])[0]})") from error
        for name in ("time", "latitude", "longitude"):
            if name not in file.coords:
                raise DataError(f"{path}: coordinate {name} is missing; it has {', '.join(map(str, file.coords))}")
        for name in self.variables:
            if name not in file:
                raise DataError(f"{path}: variable {name} is missing; it has {', '.join(map(str, file.data_vars))}")
        return file

    def _select(self, file: Any) -> Any:
        """Rows from north to south, longitudes eastward without a jump, cut to the region."""
        file = file.sortby("latitude", ascending=False).sortby("longitude")
        if self.region is None:
            return file
        south, north, west, east = self.region
        if not (-90 <= south < north <= 90 and west < east <= west + 360):
            raise UsageError(f"region={self.region}: expected south < north and west < east <= west + 360 degrees")
        slack = 1e-6
        lon = file["longitude"].values
        file = file.assign_coords(longitude=lon - 360 * np.floor((lon - west + slack) / 360)).sortby("longitude")
        file = file.sel(latitude=slice(north + slack, south - slack), longitude=slice(west - slack, east + slack))
        if min(file.sizes["latitude"], file.sizes["longitude"]) < 2:
            raise DataError(f"{self.path}: region {self.region} holds fewer than 2 x 2 cells")
        return file

    def _levels(self, file: Any) -> list[int]:
        missing = sorted(set(self.levels) - set(map(int, file["level"].values)))
        if missing or not self.levels:
            raise DataError(f"{self.path}: levels {missing} hPa are missing; it has {file['level'].values.tolist()}")
        return list(self.levels)

    def _series(self, file: Any, count: int, split: str, lat: np.ndarray, lon: np.ndarray) -> Series:
        first, last = getattr(self, split)
        file = file.sel(time=slice(first, last))
        time = file["time"].values.astype("datetime64[s]")
        if len(time) < 3:
            raise DataError(f"{self.path}: split {split} ({first} to {last}) holds {len(time)} times; set {split}")
        held = float((time[1] - time[0]) / np.timedelta64(3600, "s"))
        stride = self.step / held
        if stride < 1 or stride % 1:
            raise UsageError(f"step={self.step} h is no multiple of the {held:g} h of {self.path}")
        sums = [name for name in self.variables if name.startswith("total_precipitation")]
        if stride > 1 and sums:
            raise UsageError(f"step={self.step}: {sums[0]} is a sum over {held:g} h; leave it out of variables")
        if (np.diff(time) != time[1] - time[0]).any():
            raise DataError(f"{self.path}: times are not equidistant in split {split}")
        file, time = file.isel(time=slice(None, None, int(stride))), time[:: int(stride)]

        def state(rows: np.ndarray) -> np.ndarray:
            layers = []
            for name in self.variables:
                values = file[name].isel(time=rows).transpose("time", "latitude", "longitude", ...).values
                layers.append(values.reshape(*values.shape[:3], -1))
                bad = np.argwhere(~np.isfinite(layers[-1]))
                if len(bad):
                    t, y, x, _ = bad[0]
                    raise DataError(f"{self.path}: {name} is not finite at {time[rows[t]]}, y {y}, x {x}")
            return np.concatenate(layers, -1).astype(np.float32)

        shape = len(time), *lat.shape
        return Series(
            Lazy((*shape, count), state),  # pyright: ignore[reportArgumentType]
            Lazy((*shape, len(NAMES)), lambda rows: standard_forcing(time[rows], lat, lon)),  # pyright: ignore[reportArgumentType]
            time,
        )
