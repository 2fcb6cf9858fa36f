"""Training examples: one step t -> t+1 of one series each, cut on the host."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Series
from genkit_weather.lam.domain import Domain, Inputs, known


@register_dataclass
@dataclass(frozen=True)
class Batch:
    """Inputs of n steps and their true outcome, standardised."""

    inputs: Inputs
    truth: Any
    """(n, h, w, V) interior at t+1"""


class Examples:
    """Random access to all steps of some series; windows never cross from one series to the next."""

    def __init__(self, series: tuple[Series, ...], domain: Domain):
        self.series = series
        self.domain = jax.tree.map(np.asarray, domain)
        counts = [max(len(s) - 2, 0) for s in series]
        self.index = np.concatenate([np.stack([np.full(c, i), 1 + np.arange(c)], 1) for i, c in enumerate(counts)])

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> Batch:
        """The steps `rows` (n,), float32, in their order."""
        which, now = self.index[np.asarray(rows)].T
        parts = [self._cut(self.series[i], now[which == i]) for i in np.unique(which)]
        if len(parts) == 1:
            return parts[0]
        back = np.argsort(np.argsort(which, kind="stable"))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[back], *parts)

    def __getitem__(self, row: int) -> Batch:
        """One step, without batch axis."""
        return jax.tree.map(lambda a: a[0], self.take(np.array([row])))

    def _cut(self, series: Series, now: np.ndarray) -> Batch:
        d = self.domain
        frame = d.frame_width

        def standard(array):
            return (np.asarray(array, np.float32) - d.mean) / d.std

        inputs = Inputs(
            prev=interior_of(standard(series.known[now]), frame),
            before=interior_of(standard(series.known[now - 1]), frame),
            frame=np.stack([frame_of(standard(series.boundary[now + i]), frame) for i in (-1, 0, 1)], 1),
            **known(d, series, now),
        )
        return Batch(inputs, interior_of(standard(series.state[now + 1]), frame))
