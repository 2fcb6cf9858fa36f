"""Batches of crystals, divided by their number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit_crystals.chains.diffusion import buckets
from genkit_crystals.chains.layout import Layout, Matrices, encode
from genkit_crystals.protostructures import Protostructure


@dataclass(frozen=True)
class Bucketed:
    """Crystals by bucket of rows; a batch has of each bucket its share, each in the bucket's layout."""

    parts: tuple[Matrices, ...]
    more: tuple[dict[str, np.ndarray], ...]
    """What else is said of the crystals of each bucket, (n, ...) by name."""
    slots: tuple[Layout, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls,
        data: Sequence[Protostructure],
        widths: tuple[int, ...],
        batch: int,
        classes: int | None,
        **more: np.ndarray,
    ) -> Bucketed:
        """Divide the crystals; `more` (n, ...) goes with them."""
        some = buckets(np.array([c.group for c in data]), widths)
        ends = np.round(np.cumsum([len(places) for _, places in some]) / len(data) * batch).astype(int)
        sizes = np.diff(ends, prepend=0)
        kept = [(*one, int(size)) for one, size in zip(some, sizes, strict=True) if size]  # else its share is too small
        parts = tuple(encode([data[i] for i in places], slots, classes) for slots, places, _ in kept)
        own = tuple({name: a[places] for name, a in more.items()} for _, places, _ in kept)
        return cls(parts, own, tuple(slots for slots, _, _ in kept), tuple(size for _, _, size in kept))

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def take(self, rows: np.ndarray) -> tuple[dict[str, Any], ...]:
        """One batch a bucket: numbers uniform on all crystals become numbers uniform on those of the bucket."""
        found = []
        for part, more, own in zip(self.parts, self.more, np.split(rows, np.cumsum(self.sizes)[:-1]), strict=True):
            places = own * len(part) // len(self)
            found.append(part[places] | {name: a[places] for name, a in more.items()})
        return tuple(found)

    __getitem__ = take
