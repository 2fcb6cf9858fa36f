"""Batches of crystals, divided by their number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit_crystals.data import Crystals
from genkit_crystals.diffusion import buckets
from genkit_crystals.layout import Layout, Matrices, encode


@dataclass(frozen=True)
class Bucketed:
    """Crystals by bucket of rows; a batch has of each bucket its share, each in the bucket's layout."""

    parts: tuple[Matrices, ...]
    slots: tuple[Layout, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, data: Crystals, widths: tuple[int, ...], batch: int, classes: int | None) -> Bucketed:
        """Divide the crystals."""
        some = buckets(np.array([c.group for c in data.crystals]), widths)
        parts = [encode([data.crystals[i] for i in places], slots, classes) for slots, places in some]
        ends = np.round(np.cumsum([len(p) for p in parts]) / len(data) * batch).astype(int)
        sizes = np.diff(ends, prepend=0)
        kept = [i for i, size in enumerate(sizes) if size]  # a bucket with too small a share is left out
        return cls(tuple(parts[i] for i in kept), tuple(some[i][0] for i in kept), tuple(int(sizes[i]) for i in kept))

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def take(self, rows: np.ndarray) -> tuple[dict[str, Any], ...]:
        """One batch a bucket: numbers uniform on all crystals become numbers uniform on those of the bucket."""
        cuts = np.split(rows, np.cumsum(self.sizes)[:-1])
        return tuple(p[own * len(p) // len(self)] for p, own in zip(self.parts, cuts, strict=True))

    __getitem__ = take
