"""WeatherBench2: global analyses on a regular grid as a zarr store, local or remote."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from genkit_weather.data import WeatherData
from genkit_weather.datasets.own import Own

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

    The reader is that of `weather.own`, with the names and dates of the published stores. Values are read on indexing.
    A URL (https://, gs://) needs fsspec's client for it. Forcing is computed: sunshine, hour and year.
    """

    path: str = "weatherbench2.zarr"
    """the store: a folder or a URL"""
    variables: tuple[str, ...] = VARIABLES
    """variables of the state"""
    levels: tuple[float, ...] = LEVELS
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
    """hours between states; each phase is a series of its own"""

    suggests: ClassVar[dict[str, Any]] = {
        "formulation.guess": "persistence",
        "formulation.fill": False,
        "latitude": True,
    }

    @classmethod
    def preset(cls, name: str) -> "WeatherBench2":
        """The whole globe in every preset."""
        return cls()

    def files(self) -> list[str]:
        """The store; `DataError` where there is none."""
        from genkit_weather.gridded import paths_of

        return paths_of(self.path)

    def load(self) -> WeatherData:
        """Open the store; nothing but coordinates, static fields and a few states is read."""
        from genkit_weather.gridded import opened, weather

        file = opened(self.path, self.levels)
        fixed = [str(n) for n, a in file.data_vars.items() if set(a.dims) == {"y", "x"}]
        file = file.drop_vars(set(fixed) - set(self.static))
        static = tuple(name for name in self.static if name in file)
        how = Own(
            self.path, self.variables, static=static, region=self.region, frame=self.frame, step=float(self.step),
            train=self.train, val=self.val, test=self.test, memory=0.0,
        )  # fmt: skip
        return replace(weather(file, how, self.path, self.path), source="weatherbench2")
