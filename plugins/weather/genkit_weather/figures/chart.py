"""The plane in which maps are drawn: that of the grid, with coasts, meridians and parallels where it tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from genkit_weather.area import Places, arc
from genkit_weather.figures import style
from genkit_weather.figures.coast import outlines

Extent = tuple[float, float, float, float]  # left, right, bottom, top
Ticks = list[tuple[float, str]]  # positions and labels


@dataclass(frozen=True)
class Chart:
    """The plane of a grid (H, W): the first row at the bottom, in km where coordinates tell them, else in cells."""

    places: Places
    flipped: bool = False
    """whether the data begin in the north, so that their rows are drawn the other way round"""
    kilometres: bool = False
    """whether `x` and `y` are lengths"""

    @classmethod
    def of(cls, data: xr.Dataset) -> Chart:
        """That of a forecast or truth with dimensions y and x."""
        places, flipped = Places.of(data), False
        for name in ("latitude", "y"):
            if name in data.coords and data.sizes["y"] > 1:
                column = data[name].values.reshape(data.sizes["y"], -1)[:, 0]
                flipped = bool(column[0] > column[-1])
                break
        if flipped:
            lat, lon, y = (a if a is None else a[::-1] for a in (places.lat, places.lon, places.y))
            places = replace(places, lat=lat, lon=lon, y=y)
        lengths = all(n in data.coords and data[n].attrs.get("units") == "km" for n in ("x", "y"))
        return cls(places, flipped, lengths and min(places.shape) > 1)

    @cached_property
    def step(self) -> tuple[float, float]:
        """Size (dx, dy) of a cell."""
        places = self.places
        if self.kilometres:
            return abs(float(places.x[1] - places.x[0])), abs(float(places.y[1] - places.y[0]))  # type: ignore[index]
        if not places.geographic or min(places.shape) < 2:
            return 1.0, 1.0
        points = places.kilometres(True).reshape(*places.shape, 3)
        dx, dy = (float(np.median(arc(np.linalg.norm(np.diff(points, axis=a), axis=-1)))) for a in (1, 0))
        return dx, dy

    @property
    def extent(self) -> Extent:
        """Edges of the area."""
        (h, w), (dx, dy) = self.places.shape, self.step
        return 0.0, dx * w, 0.0, dy * h

    @property
    def aspect(self) -> float:
        """Height over width."""
        return self.extent[3] / self.extent[1]

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Data (..., y, x) with their rows as they are drawn."""
        return values[..., ::-1, :] if self.flipped else values

    def position(self, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (x, y) in the plane of fractional rows and columns of the data."""
        row = self.places.shape[0] - 1 - row if self.flipped else row
        return (column + 0.5) * self.step[0], (row + 0.5) * self.step[1]

    def dress(self, axis: Axes, frame: tuple[int, int] = (0, 0)) -> None:
        """Coasts, borders, meridians and parallels, ticks, and the rectangle that parts frame and interior."""
        axis.grid(False)
        for spine in axis.spines.values():
            spine.set_visible(True)
        for kind, x, y in self._outlines:
            axis.plot(x, y, color=style.INK, linewidth=0.8 if kind == "coast" else 0.45, zorder=3, gid=kind)
        for field, levels in self._graticule:
            xs, ys = ((np.arange(n) + 0.5) * d for n, d in zip(field.shape[::-1], self.step, strict=True))
            if min(field.shape) > 1:
                axis.contour(xs, ys, field, levels, colors=style.GREY, linewidths=0.4, linestyles="dotted", zorder=2.5)
        for which, ticks in (("x", self._ticks[0]), ("y", self._ticks[1])):
            axis.set(**{f"{which}ticks": [p for p, _ in ticks], f"{which}ticklabels": [text for _, text in ticks]})
        axis.tick_params(length=2, labelsize=6.5, pad=2)
        axis.set(xlim=self.extent[:2], ylim=self.extent[2:], aspect="equal")
        if any(frame):
            (fy, fx), (dx, dy), (_, right, _, top) = frame, self.step, self.extent
            edges = right - 2 * fx * dx, top - 2 * fy * dy
            axis.add_patch(Rectangle((fx * dx, fy * dy), *edges, fill=False, edgecolor=style.INK, linewidth=0.9))

    @cached_property
    def _outlines(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Coasts and borders (kind, x, y), where the grid has latitudes and longitudes and files are here."""
        if not self.places.geographic or min(self.places.shape) < 2:
            return []
        found = []
        for kind in ("coast", "border"):
            lines = outlines(kind, np.asarray(self.places.lat), np.asarray(self.places.lon))
            if len(lines):
                row, column = self.places.locate(lines[:, 0], lines[:, 1], True).T
                found.append((kind, (column + 0.5) * self.step[0], (row + 0.5) * self.step[1]))
        return found

    @cached_property
    def _graticule(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Longitudes and latitudes of the cells with the round levels that are drawn."""
        if not self.places.geographic:
            return []
        lat = np.asarray(self.places.lat, float)
        lon = np.unwrap(np.unwrap(np.asarray(self.places.lon, float), axis=1, period=360), axis=0, period=360)
        around = max(np.abs(np.diff(lon, axis=axis)).max(initial=0) for axis in (0, 1)) > 90  # the pole is inside
        return [
            (field, _round_levels(float(field.min()), float(field.max())))
            for field in ([lat] if around else [lon, lat])
        ]

    @cached_property
    def _ticks(self) -> tuple[Ticks, Ticks]:
        """Ticks below and at the left: where meridians and parallels reach the edge, else lengths."""
        if len(self._graticule) == 2:
            (lon, meridians), (lat, parallels) = self._graticule
            dx, dy = self.step
            return (
                [((i + 0.5) * dx, _degrees(v, "EW")) for i, v in _crossings(lon[0], meridians)],
                [((i + 0.5) * dy, _degrees(v, "NS")) for i, v in _crossings(lat[:, 0], parallels)],
            )
        lengths, measured = MaxNLocator(nbins=3, steps=[1, 2, 5, 10]), self.step != (1.0, 1.0) or self.kilometres
        unit, (_, right, _, top) = "km" if measured else "cells", self.extent
        found = [
            [(v, f"{v:g} {unit}") for v in lengths.tick_values(0, most) if 0 <= v <= most] for most in (right, top)
        ]
        return found[0], found[1]


def _round_levels(low: float, high: float) -> np.ndarray:
    """Some round degrees between two: parts of 90 where they span much."""
    steps = [1, 2, 5, 10] if high - low < 60 else [1, 3, 4.5, 9, 10]
    return np.asarray(MaxNLocator(nbins=4, steps=steps).tick_values(low, high))


def _crossings(values: np.ndarray, levels: Sequence[float] | np.ndarray) -> list[tuple[float, float]]:
    """Fractional indices at which values reach levels, (index, level)."""
    found = []
    for level in levels:
        away = values - level
        for i in np.flatnonzero((away[:-1] <= 0) != (away[1:] <= 0)):
            found.append((i + away[i] / (away[i] - away[i + 1]), float(level)))
    return found


def _degrees(value: float, sides: str) -> str:
    """As 10°W: of a longitude in sides EW, of a latitude in sides NS."""
    value = (value + 180) % 360 - 180 if sides == "EW" else value
    side = "" if abs(value) < 1e-9 or abs(value) == 180 else sides[int(value < 0)]
    return f"{abs(round(value, 6)):g}°{side}"
