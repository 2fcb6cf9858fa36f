"""Events on the globe: points of the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genkit.data import fetch, local
from genkit.errors import DataError
from genkit_latents.data import OnManifold, split
from genkit_latents.geometry.manifolds import Sphere

SOURCE = "https://raw.githubusercontent.com/oxcsml/riemannian-score-sde/main/data/"
FILES = {  # name at the source, SHA-256, lines before the rows, rows
    "volcano": ("volerup.csv", "f7bbaf32a412f5fe82350f48e0c55100be260803969c16557343f687fd0593fc", 2, 827),
    "earthquake": ("quakes_all.csv", None, 4, 6120),
    "flood": ("flood.csv", "ffb1e3182c3053afcdeceec4727c262a29da10255d20747c08144da5b0963486", 2, 4875),
    "fire": ("fire.csv", None, 1, 12809),
}


@dataclass(frozen=True)
class Events:
    """Volcanic eruptions (827), earthquakes (6120), floods (4875) or fires (12809) as points of the unit sphere, split
    80 / 10 / 10 by the seed.

    Data of NOAA, the Dartmouth Flood Observatory and EOSDIS, as in Mathieu and Nickel 2020 (arXiv 2006.10605). No
    checksum of earthquakes and fires is known here, so they are not downloaded: put them into GENKIT_DATA.
    """

    kind: Literal["volcano", "earthquake", "flood", "fire"] = "flood"
    """which"""
    seed: int = 0
    """of the split"""

    def path(self) -> Path | None:
        """The file, where it is here already."""
        return local(f"manifolds/{self.kind}.csv", FILES[self.kind][1])

    def load(self) -> OnManifold:
        """Points (n, 3) of the sphere."""
        x = sphere(read(self._file(), self.kind))
        train, rest = split(len(x), 0.2, self.seed)
        half = np.random.default_rng(self.seed).permutation(rest)
        return OnManifold(Sphere(), x[train], x[np.sort(half[::2])], x[np.sort(half[1::2])], self.kind)

    def _file(self) -> Path:
        name, digest, *_ = FILES[self.kind]
        if digest is not None:
            return fetch(f"manifolds/{self.kind}.csv", digest, SOURCE + name)
        if (found := self.path()) is None:
            raise DataError(f"manifolds/{self.kind}.csv is not in GENKIT_DATA; put {SOURCE}{name} there")
        return found


def read(path: Path, kind: str) -> np.ndarray:
    """Latitudes and longitudes in degrees, (n, 2)."""
    _, _, skip, rows = FILES[kind]
    table = np.genfromtxt(path, delimiter=",", skip_header=skip)
    if table.shape != (rows, 2) or not np.isfinite(table).all():
        raise DataError(f"{path}: {table.shape} numbers after {skip} lines; expected ({rows}, 2) without gaps")
    return table


def sphere(degrees: np.ndarray) -> np.ndarray:
    """Points (n, 3) of latitude and longitude (n, 2): theta = lat + 90, phi = lon + 180 degrees."""
    theta, phi = np.radians(degrees[:, 0]) + np.pi / 2, np.radians(degrees[:, 1]) + np.pi
    x = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    return x.astype(np.float32)
