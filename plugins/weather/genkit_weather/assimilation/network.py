"""Networks of stations: where they stand and what they measure; observations of them, made or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genkit_weather.assimilation.observed import Observed
from genkit_weather.assimilation.quantities import EXCEEDS, Quantity


@dataclass(frozen=True)
class Network:
    """Stations inside an area of h x w cells with V variables, and the quantities that each may measure."""

    shape: tuple[int, int, int]
    place: np.ndarray  # (S, 2) fractional row and column among the cells
    quantities: tuple[Quantity, ...]
    mean: np.ndarray  # (V,) by which the states are standardised
    std: np.ndarray  # (V,)
    names: tuple[str, ...] = ()  # S

    @classmethod
    def random(
        cls, rng: np.random.Generator, shape: Sequence[int], count: int, quantities: Sequence[Quantity],
        mean: np.ndarray, std: np.ndarray,
    ) -> Network:  # fmt: skip
        """So many stations at random places."""
        place = rng.random((count, 2)) * (np.array(shape[:2]) - 1)
        names = tuple(f"S{i + 1:03d}" for i in range(count))
        return cls((shape[0], shape[1], shape[2]), place, tuple(quantities), np.asarray(mean), np.asarray(std), names)

    def observed(self, y: np.ndarray, error: np.ndarray) -> Observed:
        """Of measurements (S, Q) in physical units, NaN where there is none, and errors that broadcast with them.

        The m = S Q numbers are ordered by station, then by quantity.
        """
        count, each = len(self.place), len(self.quantities)
        h, w, v = self.shape
        low = np.minimum(np.floor(self.place).astype(int), np.maximum(np.array([h, w]) - 2, 0))
        part = self.place - low
        rows = np.minimum(low[:, :1] + [0, 0, 1, 1], h - 1)
        columns = np.minimum(low[:, 1:] + [0, 1, 0, 1], w - 1)
        weights = np.where([0, 0, 1, 1], part[:, :1], 1 - part[:, :1])
        weights = weights * np.where([0, 1, 0, 1], part[:, 1:], 1 - part[:, 1:])
        first = np.array([q.first for q in self.quantities])
        both = np.stack([first, [q.first if q.second is None else q.second for q in self.quantities]])
        has = np.array([[True] * each, [q.second is not None for q in self.quantities]])
        cells = (rows * w + columns)[None, :, None] * v + both[:, None, :, None]
        scaled = (has * self.std[both])[:, None, :, None] * weights[None, :, None]
        offset = np.broadcast_to((has * self.mean[both])[:, None], (2, count, each))
        y, error = (np.broadcast_to(np.asarray(a, float), (count, each)) for a in (y, error))
        there = np.isfinite(y) & np.isfinite(error)

        def every(of: Any) -> np.ndarray:
            return np.tile(np.array([of(q) for q in self.quantities]), count)

        return Observed(
            cells=cells.reshape(2, count * each, 4),
            weights=np.asarray(scaled, float).reshape(2, count * each, 4),
            offset=np.asarray(offset, float).reshape(2, -1),
            kind=every(lambda q: q.kind),
            limit=every(lambda q: q.limit),
            y=np.where(there, y, 0.0).ravel(),
            error=np.where(there, error, np.inf).ravel(),
            place=np.repeat(self.place, each, 0),
            variable=every(lambda q: q.first),
            shape=self.shape,
        )

    def measure(self, rng: np.random.Generator, state: np.ndarray, error: np.ndarray) -> Observed:
        """Draw measurements of a standardised state (h, w, V) with normal errors (S, Q)."""
        size = len(self.place), len(self.quantities)
        exact = self.observed(np.zeros(size), error)
        noise = np.where(exact.there, exact.error, 0.0) * rng.standard_normal(len(exact.y))
        value = exact.values(state[None])[0, 0] + noise
        y = np.where(exact.kind == EXCEEDS, value > exact.limit, exact.predict(state[None])[0] + noise)
        return replace(exact, y=y)

    def of(self, stations: np.ndarray) -> Network:
        """Some of the stations, (S,) bool or places of them."""
        names = tuple(np.array(self.names)[stations]) if self.names else ()
        return replace(self, place=self.place[stations], names=names)
