"""Coasts, borders and towns of Natural Earth, from files of cartopy that are here; nothing is fetched."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from genkit_weather.area import EARTH, unit_vectors

KINDS = {"coast": ("physical", "coastline"), "border": ("cultural", "admin_0_boundary_lines_land")}
RESOLUTIONS = {"10m": 2000.0, "50m": 8000.0, "110m": np.inf}  # areas (km across) for which each is fine enough


def outlines(kind: str, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(n, 2) latitudes and longitudes of lines near an area, a row of NaN after each; (0, 2) where there are no files.

    Args:
        kind: coast or border.
        lat: degrees north of the area's cells, any shape.
        lon: degrees east.
    """
    centre = unit_vectors(lat.ravel(), lon.ravel()).mean(0)
    centre = centre / max(float(np.linalg.norm(centre)), 1e-9)
    reach = np.arccos(np.clip(unit_vectors(lat.ravel(), lon.ravel()) @ centre, -1, 1)).max()
    path = _file(*KINDS[kind], 2 * reach * EARTH)
    lines = [] if path is None else [*_near(_lines(path), centre, reach)]
    return np.concatenate(lines) if lines else np.zeros((0, 2))


def town(name: str) -> tuple[float, float] | None:
    """Latitude and longitude of a populated place, the largest of its name; None where it is not known."""
    path = _file("cultural", "populated_places_simple", 0.0) or _file("cultural", "populated_places", 0.0)
    if path is None:
        return None
    from cartopy.io.shapereader import Reader  # pyright: ignore[reportMissingImports]

    found = []
    for record in Reader(path).records():
        told: Any = {key.lower(): value for key, value in record.attributes.items()}
        at: Any = record.geometry
        if name.casefold() in (str(told.get(key, "")).casefold() for key in ("name", "nameascii")):
            found.append((float(told.get("pop_max") or 0), at.y, at.x))
    return max(found)[1:] if found else None


def _file(category: str, name: str, across: float) -> Path | None:
    """The shapes that are here: of the coarsest resolution that is fine enough for an area, else of the nearest."""
    try:
        from cartopy import config  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    order = [*RESOLUTIONS]
    first = next(i for i, one in enumerate(order) if across <= RESOLUTIONS[one])
    for resolution in sorted(order, key=lambda one: abs(order.index(one) - first)):
        for folder in ("pre_existing_data_dir", "data_dir", "repo_data_dir"):
            path = Path(config[folder], "shapefiles", "natural_earth", category, f"ne_{resolution}_{name}.shp")
            if str(config[folder]) not in ("", ".") and path.exists():
                return path
    return None


@lru_cache(maxsize=4)
def _lines(path: Path) -> list[np.ndarray]:
    """Lines (n, 2) of latitudes and longitudes of a file of shapes."""
    from cartopy.io.shapereader import Reader  # pyright: ignore[reportMissingImports]

    parts = [part for shape in Reader(path).geometries() for part in getattr(shape, "geoms", [shape])]
    return [np.asarray(part.coords)[:, 1::-1] for part in parts]


def _near(lines: list[np.ndarray], centre: np.ndarray, reach: float) -> Iterator[np.ndarray]:
    """The lines with a point near the area, with points in between where two are far apart, and NaN at their end."""
    centre_lat, margin = np.rad2deg(np.arcsin(np.clip(centre[2], -1, 1))), min(reach + np.deg2rad(2), np.pi)
    step = max(np.rad2deg(reach) / 200, 1e-3)
    for line in lines:
        if np.abs(np.clip(centre_lat, line[:, 0].min(), line[:, 0].max()) - centre_lat) > np.rad2deg(margin):
            continue
        pieces = np.maximum(np.ceil(np.abs(np.diff(line, axis=0)).max(1) / step), 1).astype(int)
        along = np.concatenate([i + np.arange(n) / n for i, n in enumerate(pieces)] + [[len(line) - 1.0]])
        fine = np.stack([np.interp(along, np.arange(len(line)), part) for part in line.T], -1)
        if (unit_vectors(*fine.T) @ centre > np.cos(margin)).any():
            yield fine
            yield np.full((1, 2), np.nan)
