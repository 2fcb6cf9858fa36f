"""What a trained model knows of the data that it was trained on: variables, units, grid, step, boundary."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit.tree import register_dataclass
from genkit_weather.data import Series, WeatherData
from genkit_weather.host import Host, HostWindow


def _static(**options: Any) -> Any:
    return field(metadata={"static": True}, **options)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Area:
    """Names, units, grid and step of weather data; see `WeatherData`, whose names these are."""

    names: tuple[str, ...] = _static()
    units: tuple[str, ...] = _static()
    long_names: tuple[str, ...] = _static()
    forcing_names: tuple[str, ...] = _static()
    grid: tuple[int, int] = _static()
    frame: tuple[int, int] = _static()
    step_hours: float = _static()
    uniform: bool = _static()
    """whether the forcing is the same everywhere"""
    lat: Any = None
    lon: Any = None
    x: Any = None
    y: Any = None
    crs: str | None = _static(default=None)
    standard_names: tuple[str, ...] = _static(default=())
    forcing_units: tuple[str, ...] = _static(default=())
    forcing_fill: Any = None
    wind: str = _static(default="file")
    corrected: tuple[tuple[str, str, str], ...] = _static(default=())
    elevation: Any = None

    @classmethod
    def of(cls, data: WeatherData) -> Area:
        """That of a data set."""
        same = {f.name: getattr(data, f.name) for f in fields(cls) if f.name != "uniform"}
        return cls(**same, uniform=bool(data.layout.uniform))

    def check(self, other: Area, model: str, source: str) -> None:
        """Refuse data of other variables, units, grid or step, by name."""
        for name in ("names", "units", "forcing_names", "grid", "frame", "step_hours", "uniform", "wind"):
            own, found = getattr(self, name), getattr(other, name)
            if own != found:
                raise DataError(f"{source} has {name}={found}, but {model} was trained with {own}")
        for name in ("lat", "lon", "x", "y"):
            own, found = getattr(self, name), getattr(other, name)
            if own is None or found is None:
                continue
            turn = 360.0 if name == "lon" else np.inf
            if np.allclose(_apart(own, found, turn), 0, atol=1e-3 + 1e-4 * np.abs(own).max()):
                continue
            axis = 0 if name in ("lat", "y") else -1
            if np.allclose(_apart(own, np.flip(found, axis), turn), 0, atol=1e-3 + 1e-4 * np.abs(own).max()):
                raise DataError(f"{source} runs the other way in {name} than the data of {model}; turn it round")
            off = float(np.abs(_apart(own, found, turn)).max())
            raise DataError(f"{source} lies elsewhere than the data of {model}: {name} differs by up to {off:g}")

    @property
    def interior(self) -> tuple[slice, slice]:
        """Slices in y and x of the predicted cells."""
        (h, w), (fy, fx) = self.grid, self.frame
        return slice(fy, h - fy), slice(fx, w - fx)

    def data(self, series: Series, source: str) -> WeatherData:
        """Weather data with one series as its test split; it has no other splits and no static fields."""
        h, w = self.grid
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("grid", "uniform")}
        return WeatherData((), (), (series,), np.zeros((h, w, 0), np.float32), static_names=(), source=source, **same)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Surroundings:
    """A second data set around an area, as a model sees it; see `Host`."""

    area: Area
    """of the other data set"""
    window: HostWindow = _static()
    points: Any = None
    distance: Any = None
    static: Any = None
    mean: Any = None
    std: Any = None

    @classmethod
    def of(cls, host: Host) -> Surroundings:
        """That of boundary data."""
        names = ("points", "distance", "static", "mean", "std")
        return cls(Area.of(host.data), host.window, *(getattr(host, name) for name in names))

    def around(self, area: WeatherData, data: WeatherData) -> WeatherData:
        """An area with other data of the same kind around it, at the points and in the units of the training."""
        parts = self.points, self.distance, self.static, self.mean, self.std
        return replace(area, around=Host(area, data, self.window, *parts))


def _apart(own: np.ndarray, found: np.ndarray, turn: float) -> np.ndarray:
    """Differences of coordinates, of angles the shortest way round."""
    away = np.asarray(found, np.float64) - own
    return away if np.isinf(turn) else (away + turn / 2) % turn - turn / 2
