"""Training examples: one step of one series each, t -> t+1 or t -> t + lead, cut on the host."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from genkit.errors import DataError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Series
from genkit_weather.lam.domain import Domain, Inputs, known, standardised


@register_dataclass
@dataclass(frozen=True)
class Batch:
    """Inputs of n steps and their true outcome, standardised."""

    inputs: Inputs
    truth: Any
    """(n, h, w, V) interior at the time that is predicted"""


class Examples:
    """Random access to all steps of some series, over each lead of the domain; none crosses to the next series."""

    def __init__(self, series: tuple[Series, ...], domain: Domain):
        self.series = series
        self.domain, times = jax.tree.map(np.asarray, domain), domain.times
        nothing = np.zeros((0, 3), int)
        self.index = np.concatenate([nothing] + [
            np.stack(np.broadcast_arrays(i, np.arange(times.lag, len(s) - lead), lead), 1)
            for i, s in enumerate(series)
            for lead in times.leads
            if len(s) > times.lag + lead
        ])  # fmt: skip
        if not len(self.index):
            raise DataError(f"no series is as long as {times.lag + times.leads[0] + 1} states, one step of the model")

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> Batch:
        """The steps `rows` (n,), float32, in their order."""
        which, now, lead = self.index[np.asarray(rows)].T
        parts = [self._cut(self.series[i], now[which == i], lead[which == i]) for i in np.unique(which)]
        if len(parts) == 1:
            return parts[0]
        back = np.argsort(np.argsort(which, kind="stable"))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[back], *parts)

    def __getitem__(self, row: int) -> Batch:
        """One step, without batch axis."""
        return jax.tree.map(lambda a: a[0], self.take(np.array([row])))

    def _cut(self, series: Series, now: np.ndarray, lead: np.ndarray) -> Batch:
        d, lag = self.domain, self.domain.times.lag
        frame, when = d.frame_width, np.stack([now - lag, now, now + lead], 1)

        def standard(array: Any) -> np.ndarray:
            return standardised(d, array)

        inputs = Inputs(
            prev=interior_of(standard(series.known[now]), frame),
            before=interior_of(standard(series.known[now - lag]), frame),
            frame=np.stack([frame_of(standard(series.boundary[i]), frame) for i in when.T], 1),
            **known(d, series, when, now),
            lead=lead.astype(np.int32) if len(d.times.leads) > 1 else None,
        )
        return Batch(inputs, interior_of(standard(series.state[now + lead]), frame))
