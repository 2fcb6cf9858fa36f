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

    @classmethod
    def of(cls, data: WeatherData) -> Area:
        """That of a data set."""
        same = {f.name: getattr(data, f.name) for f in fields(cls) if f.name != "uniform"}
        return cls(**same, uniform=bool(data.layout.uniform))

    def check(self, other: Area, model: str, source: str) -> None:
        """Refuse data of other variables, units, grid or step, by name."""
        for name in ("names", "units", "forcing_names", "grid", "frame", "step_hours", "uniform"):
            own, found = getattr(self, name), getattr(other, name)
            if own != found:
                raise DataError(f"{source} has {name}={found}, but {model} was trained with {own}")
        for name in ("lat", "lon", "x", "y"):
            own, found = getattr(self, name), getattr(other, name)
            if own is not None and found is not None and not np.allclose(own, found, rtol=1e-4, atol=1e-3):
                off = float(np.abs(np.asarray(own) - found).max())
                raise DataError(f"{source} lies elsewhere than the data of {model}: {name} differs by up to {off:g}")

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
