"""WeatherBench (2020): ERA5 at 5.625 degrees, hourly, as NetCDF files by variable and year."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.errors import DataError, UsageError
from genkit_weather.area import NAMES, standard_forcing
from genkit_weather.data import Layout, Series, WeatherData
from genkit_weather.lazy import Lazy

VARIABLES = (
    "geopotential_500",
    "temperature_850",
    "2m_temperature",
    "10m_u_component_of_wind",
    "10m_v_component_of_wind",
)
STATIC = ("orography", "lsm")


@dataclass(frozen=True)
class WeatherBench1:
    """Folders of NetCDF files as published (Rasp et al. 2020, arXiv 2002.00469): z500, t850, t2m, u10, v10, hourly.

    `root` has a folder for each variable, as geopotential_500 with a file a year, and one called constants. Dimensions
    are time, lat, lon; one variable a file. Rows run from the north; values are read on indexing.
    """

    root: Path = Path("weatherbench")
    """folder with one of each variable, and constants/"""
    variables: tuple[str, ...] = VARIABLES
    """variables of the state: names of the folders"""
    static: tuple[str, ...] = STATIC
    """fields of the constants"""
    forcing: bool = False
    """compute forcing: sunshine, hour and year"""
    train: tuple[str, str] = ("1979-01-01", "2015-12-31")
    """first and last day of the training split"""
    val: tuple[str, str] = ("2016-01-01", "2017-12-31")
    """of the validation split"""
    test: tuple[str, str] = ("2018-01-01", "2018-12-31")
    """of the test split"""
    step: int = 6
    """hours between states; each hour begins a series of its own"""

    suggests: ClassVar[dict[str, Any]] = {
        "formulation.guess": "persistence",
        "formulation.fill": False,
        "latitude": True,
    }

    @classmethod
    def preset(cls, name: str) -> "WeatherBench1":
        """The published splits in every preset."""
        return cls()

    def layout(self) -> Layout:
        """Sizes of the published data, without the data."""
        forcings = len(NAMES) if self.forcing else 0
        return Layout((32, 64), (0, 0), len(self.variables), forcings, len(self.static), uniform=not self.forcing)

    def files(self) -> list[Path]:
        """Those of the variables and the constants; `DataError` for a folder that has none."""
        return [p for name in (*self.variables, "constants") for p in _files(Path(self.root).expanduser() / name)]

    def load(self) -> WeatherData:
        """Open the files; nothing but coordinates and constants is read."""
        if self.step < 1:
            raise UsageError(f"weatherbench1: step={self.step} hours are too few; expected at least 1")
        root = Path(self.root).expanduser()
        fields = [_Field(root / name) for name in self.variables]
        first = fields[0]
        for field in fields[1:]:
            for what in ("time", "lat", "lon"):
                if not np.array_equal(getattr(field, what), getattr(first, what)):
                    raise DataError(f"{field.folder}: {what} differs from that of {first.folder}; give both the same")
        lat, lon = np.meshgrid(first.lat, first.lon, indexing="ij")
        splits = [self._series(fields, getattr(self, split), lat, lon) for split in ("train", "val", "test")]
        return WeatherData(
            *splits,
            static=self._constants(root / "constants", first.lat),
            frame=(0, 0),
            names=tuple(field.name for field in fields),
            units=tuple(field.attrs.get("units", "1") for field in fields),
            long_names=tuple(field.attrs.get("long_name", field.name) for field in fields),
            forcing_names=NAMES if self.forcing else (),
            static_names=self.static,
            step_hours=float(self.step),
            lat=lat.astype(np.float32),
            lon=lon.astype(np.float32),
            diurnal=True,
            source="weatherbench1",
        )

    def _series(
        self, fields: list["_Field"], split: tuple[str, str], lat: np.ndarray, lon: np.ndarray
    ) -> tuple[Series, ...]:
        """The times of a split as one series for each of the first `step` hours."""
        time = fields[0].time
        begin, end = np.datetime64(split[0], "s"), np.datetime64(split[1], "D") + 1
        rows = np.flatnonzero((time >= begin) & (time < end))
        if len(rows) < 3 * self.step:
            raise DataError(f"{self.root}: {split[0]} to {split[1]} holds {len(rows)} hours, too few for {self.step} h")
        if (np.diff(time[rows]) != np.timedelta64(1, "h")).any():
            at = time[rows][1:][np.diff(time[rows]) != np.timedelta64(1, "h")][0]
            raise DataError(f"{self.root}: times are not hourly before {at}")
        return tuple(self._every(fields, rows[phase :: self.step], lat, lon) for phase in range(self.step))

    def _every(self, fields: list["_Field"], rows: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> Series:
        time = fields[0].time[rows]

        def state(which: np.ndarray) -> np.ndarray:
            return np.stack([field.read(rows[which]) for field in fields], -1)

        shape = len(rows), *lat.shape
        forcing: Any = np.zeros((len(rows), 1, 1, 0), np.float32)
        if self.forcing:
            forcing = Lazy((*shape, len(NAMES)), lambda which: standard_forcing(time[which], lat, lon))
        return Series(Lazy((*shape, len(fields)), state), forcing, time)  # pyright: ignore[reportArgumentType]

    def _constants(self, folder: Path, lat: np.ndarray) -> np.ndarray:
        """(H, W, S), each scaled to [0, 1]."""
        layers = []
        with _open(_files(folder)[0]) as file:
            for name in self.static:
                if name not in file:
                    raise DataError(
                        f"{folder}: constant {name} is missing; it has {', '.join(map(str, file.data_vars))}"
                    )
                values = file[name].sortby("lat", ascending=False).transpose("lat", "lon").values
                layers.append((values - values.min()) / max(float(np.ptp(values)), 1e-12))
        shape = (len(lat), layers[0].shape[1] if layers else 0)
        return np.stack(layers, -1).astype(np.float32) if layers else np.zeros((*shape, 0), np.float32)


class _Field:
    """One variable over all its files."""

    def __init__(self, folder: Path):
        self.folder, files = folder, [_open(path) for path in _files(folder)]
        names = list(files[0].data_vars)
        if len(names) != 1:
            raise DataError(f"{folder}: expected one variable a file, found {', '.join(map(str, names))}")
        dims = files[0][names[0]].dims
        if set(dims) != {"time", "lat", "lon"}:
            raise DataError(f"{folder}: dimensions {', '.join(map(str, dims))}; expected time, lat, lon")
        parts = [file[names[0]].sortby("lat", ascending=False).sortby("lon") for file in files]
        self.parts = sorted(parts, key=lambda part: part["time"].values[0])
        self.name, self.attrs = str(names[0]), {k: str(v) for k, v in self.parts[0].attrs.items()}
        self.time = np.concatenate([part["time"].values for part in self.parts]).astype("datetime64[s]")
        self.lat, self.lon = (self.parts[0][name].values for name in ("lat", "lon"))
        self.ends = np.cumsum([part.sizes["time"] for part in self.parts])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, H, W) float32 at rows of all times."""
        out = np.empty((len(rows), len(self.lat), len(self.lon)), np.float32)
        which = np.searchsorted(self.ends, rows, "right")
        for number in np.unique(which):
            part, here = self.parts[number], which == number
            own = rows[here] - (self.ends[number] - part.sizes["time"])
            out[here] = part.isel(time=own).transpose("time", "lat", "lon").values
        bad = np.argwhere(~np.isfinite(out))
        if len(bad):
            row, y, x = bad[0]
            raise DataError(f"{self.folder}: {self.name} is not finite at {self.time[rows[row]]}, y {y}, x {x}")
        return out


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.nc"))
    if not found:
        raise DataError(f"{folder}: no NetCDF files (*.nc); set --data.root to the folder that holds the variables")
    return found


def _open(path: Path) -> Any:
    import xarray as xr

    try:
        return xr.open_dataset(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0][:150]}") from None
