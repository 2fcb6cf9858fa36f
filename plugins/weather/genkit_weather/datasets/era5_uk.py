"""ERA5 temperature at 2 m over the United Kingdom, hourly in March 2019: a small set of real data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.data import fetch, local
from genkit.errors import DataError, UsageError
from genkit_weather.area import NAMES, standard_forcing
from genkit_weather.data import DEGREE, Layout, Series, WeatherData, check

ARRAYS = "weather/era5_uk_t2m_2019-03.npz"
ARRAYS_SHA256 = "9ab5acf031328d1ae45a369d08a3c892c1580cd5ca79a70af0b0d8416b380e61"
GRIB = "weather/era5-2mt-2019-03-uk.grib"
GRIB_SHA256 = "e5e82609f0e28e84822852e15d20c88dbb4b142a30264a7e6f87b9b5c7501df9"
GRIB_URL = "https://github.com/pydata/xarray-data/raw/master/era5-2mt-2019-03-uk.grib"
BEGIN = np.datetime64("2019-03-01T00", "s")
HOURS = {"train": (0, 432), "val": (432, 600), "test": (600, 744)}  # days 1-18, 19-25, 26-31
GRID = (33, 49)
SPACING = 0.25 * DEGREE * np.cos(np.deg2rad(54.0)) ** 0.5  # km


@dataclass(frozen=True)
class ERA5UK:
    """ERA5 2 m temperature, 33 x 49 cells of 0.25 degrees (58..50 N, 10 W..2 E), March 2019.

    Train on days 1-18, validate on 19-25, test on 26-31. Every phase of the sub-sampled hours is a series of its
    own. Contains modified Copernicus Climate Change Service information; reading the GRIB file needs cfgrib.
    """

    step: int = 3
    """hours between states; divides 24"""
    frame: int = 5
    """cells of the frame on each side"""
    year: bool = False
    """tell the angle of the year too, which a network takes for the number of the day: 18 days do not teach it"""

    suggests: ClassVar[dict[str, Any]] = {  # 426 examples: a small network that is stopped early
        "formulation.guess": "relaxed",
        "formulation.anomalies": True,
        "network.base": 16,
        "network.blocks": 1,
        "network.dropout": 0.3,
        "network.embedder": 16,
        "network.embedding": 64,
        "network.bottleneck_attention": False,
        "network.mesh.distance": 75.0,
        "network.width": 32,
        "stages": ((1, 200), (1, 100), (4, 80)),
        "optimizer.lr": 1e-3,
        "optimizer.weight_decay": 0.1,
        "augmentation.probability": 0.7,
        "augmentation.high": 0.3,
        "augmentation.length": 1,
        "sigma_data": (1.6,),
        "steps": 400,
        "validate": 50,
        "checkpoint": "best",
        "starts": 18,
        "baselines": (
            "climatology",
            "persistence",
            "harmonic",
            "harmonic_ensemble",
            "diurnal",
            "relaxed",
            "ridge",
            "ar2",
        ),  # fmt: skip
    }

    @classmethod
    def preset(cls, name: str) -> "ERA5UK":
        """The same data in every preset: they are small."""
        return cls()

    def layout(self) -> Layout:
        """Sizes, without the data."""
        return Layout(GRID, (self.frame, self.frame), 1, len(self.forcings), 2, uniform=False, spacing=SPACING)

    @property
    def forcings(self) -> tuple[str, ...]:
        """Names of the forcing."""
        return NAMES if self.year else NAMES[:3]

    def path(self) -> Path | None:
        """The file, where it is here already."""
        return local(ARRAYS, ARRAYS_SHA256) or local(GRIB, GRIB_SHA256)

    def load(self) -> WeatherData:
        """Splits with forcing (radiation, hour, with `year` its angle) and static latitude and longitude."""
        if self.step < 1 or 24 % self.step or not 0 <= self.frame <= 15:
            raise UsageError(
                f"era5_uk: step {self.step} must divide 24 and frame {self.frame} be 0..15 (the grid has 33 rows)"
            )
        values, north, east = _read()
        lat, lon = (a.astype(np.float32) for a in np.meshgrid(north, east, indexing="ij"))
        splits = {}
        for split, (begin, end) in HOURS.items():
            phases = [np.arange(begin + phase, end, self.step) for phase in range(self.step)]
            splits[split] = tuple(_series(values, when, lat, lon, len(self.forcings)) for when in phases)
        return check(
            WeatherData(
                train=splits["train"],
                val=splits["val"],
                test=splits["test"],
                static=np.stack([lat, lon], -1),
                frame=(self.frame, self.frame),
                names=("t2m",),
                units=("K",),
                long_names=("temperature at 2 m",),
                forcing_names=self.forcings,
                static_names=("lat", "lon"),
                step_hours=float(self.step),
                lat=lat,
                lon=lon,
                diurnal=True,
                source="era5_uk",
            )
        )


def _series(values: np.ndarray, when: np.ndarray, lat: np.ndarray, lon: np.ndarray, forcings: int) -> Series:
    time = BEGIN + when * np.timedelta64(3600, "s")
    return Series(values[when][..., None], standard_forcing(time, lat, lon)[..., :forcings], time)


def _read() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t2m (744, 33, 49) in K, latitudes (33,) north to south, longitudes (49,)."""
    path = local(ARRAYS, ARRAYS_SHA256)
    if path is not None:
        with np.load(path) as file:
            return file["t2m"], file["lat"], file["lon"]
    path = fetch(GRIB, GRIB_SHA256, GRIB_URL)
    from genkit_weather.gridded import open_path

    (file,) = open_path(str(path))
    values = file["t2m"].values
    if values.shape != (744, *GRID):
        raise DataError(f"{path}: t2m has shape {values.shape}, expected {(744, *GRID)}")
    return values, file["latitude"].values, file["longitude"].values
