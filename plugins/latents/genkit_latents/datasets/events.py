"""Events on the globe: points of the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genkit.data.files import fetch, local
from genkit.errors import DataError
from genkit_latents.data import split

SOURCE = "https://raw.githubusercontent.com/oxcsml/riemannian-score-sde/main/data/"
FILES = {  # SHA-256, lines before the rows, rows
    "volcano": ("f7bbaf32a412f5fe82350f48e0c55100be260803969c16557343f687fd0593fc", 2, 827),
    "flood": ("ffb1e3182c3053afcdeceec4727c262a29da10255d20747c08144da5b0963486", 2, 4875),
}


@dataclass(frozen=True)
class Events:
    """Volcanic eruptions (827) or floods (4875) as points of the unit sphere, split 80 / 10 / 10 by the seed.

    Data of NOAA and of the Dartmouth Flood Observatory, as in Mathieu and Nickel 2020 (arXiv 2006.10605).
    """

    kind: Literal["flood", "volcano"] = "volcano"
    """which"""
    seed: int = 0
    """of the split"""

    def path(self) -> Path | None:
        """The file, where it is here already."""
        return local(f"manifolds/{self.kind}.csv", FILES[self.kind][0])

    def load(self) -> dict[str, np.ndarray]:
        """train, val and test, each (n, 3)."""
        x = sphere(
            read(fetch(f"manifolds/{self.kind}.csv", FILES[self.kind][0], f"{SOURCE}{self.kind}.csv"), self.kind)
        )
        train, rest = split(len(x), 0.2, self.seed)
        half = np.random.default_rng(self.seed).permutation(rest)
        return {"train": x[train], "val": x[np.sort(half[::2])], "test": x[np.sort(half[1::2])]}


def read(path: Path, kind: str) -> np.ndarray:
    """Latitudes and longitudes in degrees, (n, 2)."""
    _, skip, rows = FILES[kind]
    table = np.genfromtxt(path, delimiter=",", skip_header=skip)
    if table.shape != (rows, 2) or not np.isfinite(table).all():
        raise DataError(f"{path}: {table.shape} numbers after {skip} lines; expected ({rows}, 2) without gaps")
    return table


def sphere(degrees: np.ndarray) -> np.ndarray:
    """Points (n, 3) of latitude and longitude (n, 2): theta = lat + 90, phi = lon + 180 degrees."""
    theta, phi = np.radians(degrees[:, 0]) + np.pi / 2, np.radians(degrees[:, 1]) + np.pi
    x = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1)
    return x.astype(np.float32)
