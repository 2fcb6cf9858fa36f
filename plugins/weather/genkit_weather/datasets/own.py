"""Own gridded data: NetCDF, zarr or GRIB, as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from genkit.errors import UsageError
from genkit.kinds import ZERO
from genkit_weather.data import Layout, WeatherData

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Own:
    """Own files, understood by the CF conventions and by names in use; `genkit weather-check` tells how.

    Levels become variables (t_850), members series, gaps in time cut series. Variables that change in time are
    predicted; those that never do, and fields without time, are static. Rows run from south to north.
    """

    path: str = "own.nc"
    """a file, a zarr folder or URL, a folder, or a pattern in quotes, as 'data/era5_*.nc'"""
    variables: tuple[str, ...] = ()
    """what is predicted; all that changes in time if none are named. t stands for t at all levels too"""
    forcing: tuple[str, ...] = ()
    """what changes in time and is given, not predicted"""
    static: tuple[str, ...] = ()
    """what does not change; found if none are named"""
    levels: tuple[float, ...] = ()
    """levels to read of variables that have several; all if none"""
    region: tuple[float, float, float, float] | None = None
    """south, north, west, east in degrees, to be cut out"""
    member: int | None = None
    """the ensemble member to read; each is a series if none"""
    frame: Annotated[int, ZERO] = 4
    """cells of the frame on each side"""
    step: float | None = None
    """hours between states; those of the files if none. Each phase is a series of its own"""
    split: tuple[float, float] = (0.7, 0.1)
    """shares of the times for training and validation; the rest is the test"""
    train: tuple[str, str] | None = None
    """first and last day of the training split, in place of shares"""
    val: tuple[str, str] | None = None
    """of the validation split"""
    test: tuple[str, str] | None = None
    """of the test split"""
    units: dict[str, str] = field(default_factory=dict)
    """units of variables whose file says nothing or something wrong"""
    mask: bool = False
    """allow cells without values (NaN): they do not count in statistics, loss and scores"""
    wind: Literal["file", "grid", "earth"] = "file"
    """components along the rows and columns of the grid, or eastward and northward; as in the files if `file`"""
    memory: float = 2.0
    """GB up to which all values are read at once; of more, those that are needed are read when they are"""

    suggests: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.frame < 0 or self.memory < 0 or (self.step is not None and self.step <= 0):
            raise UsageError(f"frame={self.frame}, memory={self.memory:g} and step={self.step} are not negative")

    @classmethod
    def preset(cls, name: str) -> Own:
        """The same options in every preset."""
        return cls()

    def files(self) -> list[str]:
        """Those that are read; `DataError` where there is none."""
        from genkit_weather.gridded import paths_of

        return paths_of(self.path)

    def load(self) -> WeatherData:
        """Open the files; of larger data nothing but coordinates and a few times is read."""
        from genkit_weather.gridded import opened, readable, weather

        file = opened(self.path, self.levels)
        with readable(self.path):
            return weather(file, self, self.path, self.path)

    def layout(self) -> Layout:
        """Sizes, of the files."""
        return self.load().layout


def from_xarray(
    file: xr.Dataset | xr.DataArray, frame: int = 4, source: str = "own data", **options: Any
) -> WeatherData:
    """Weather data of a data set, such as one read by xarray; see the data set `weather.own`, whose options these are.

    Args:
        file: the data set, or a variable of it.
        frame: cells on each side whose values are given, not predicted.
        source: how errors name the data.
        options: further fields of `genkit_weather.datasets.Own`, as split=(0.7, 0.1).
    """
    import xarray as xr

    from genkit_weather.gridded import decoded, understood, weather

    how = Own(frame=frame, **options)
    whole = file if isinstance(file, xr.Dataset) else file.to_dataset(name=file.name or "values")
    return weather(understood([(source, decoded(whole))], how.levels), how, source)
