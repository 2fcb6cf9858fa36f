"""Training examples of several steps: a start, the given boundary and forcing, the true outcome at each lead."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from genkit.errors import DataError
from genkit.tree import register_dataclass
from genkit_weather.area import interior_of
from genkit_weather.data import Series, truth
from genkit_weather.host import Host
from genkit_weather.lam.domain import Domain
from genkit_weather.lam.rollout import Outlook


@register_dataclass
@dataclass(frozen=True)
class Window:
    """n starts with what is given over T steps and their true outcome at each lead, standardised."""

    given: Outlook
    truth: Any
    """(n, leads, h, w, V) interior at the leads of `Times.outputs(T)`"""


class Windows:
    """Random access to all windows of T steps of some series; they never cross from one series to the next."""

    def __init__(
        self, series: tuple[Series, ...], domain: Domain, steps: int, host: Host | None = None, split: str = "train"
    ):
        """With boundary data of a second data set, `series` are its area's of that split."""
        # boundary forecasts strung together, as a series holds them, are what a training sees
        self.series = tuple(replace(one, host=None) for one in series)
        self.domain, self.steps = jax.tree.map(np.asarray, domain), steps
        self.host, self.split = host, split
        every = [
            np.arange(domain.times.lag, len(one) - steps) if host is None else host.starts(split, i, steps)
            for i, one in enumerate(series)
        ]
        self.index = np.concatenate([np.stack([np.full(len(s), i), s], 1) for i, s in enumerate(every)])
        if not len(self.index):
            raise DataError(
                f"no series is long enough for {steps} steps; the longest has {max(map(len, series))} states"
                + ("" if host is None else f", and all need boundary data of {host.data.source}")
            )

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> Window:
        """The windows `rows` (n,), float32, in their order."""
        which, now = self.index[np.asarray(rows)].T
        parts = [self._cut(i, now[which == i]) for i in np.unique(which)]
        back = np.argsort(np.argsort(which, kind="stable"))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[back], *parts)

    def __getitem__(self, row: int) -> Window:
        """One window, without batch axis."""
        return jax.tree.map(lambda a: a[0], self.take(np.array([row])))

    def _cut(self, number: int, now: np.ndarray) -> Window:
        d, series = self.domain, self.series[number]
        outside = None if self.host is None else self.host.windows(self.split, number, now, self.steps)
        starts = now.tolist()
        given = Outlook.build(d, series, starts, self.steps, outside)
        states = interior_of(truth(series, starts, d.times.outputs(self.steps)), d.frame_width)
        return Window(given, (states - d.mean) / d.std)
