"""What the training split tells of the interior at one time, without its past: the prior of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.assimilation.covariance import Covariance
from genkit_weather.baselines import FrameMap, FrameRegression
from genkit_weather.data import Layout, Series, Statistics, WeatherData, statistics, take
from genkit_weather.networks import Conditioning, Sizes


@register_dataclass
@dataclass(frozen=True)
class Situation:
    """What is known at n times beside observations and forecasts, standardised."""

    frame: Any
    """(n, cells, V)"""
    forcing: Any
    """(n, H, W, F), or (n, 1, 1, F)"""
    expected: Any
    """(n, h, w, V) of the interior, by regression on the frame"""

    def repeated(self, count: int) -> Situation:
        """That of one time for so many members."""
        return Situation(*(np.repeat(a, count, 0) for a in (self.frame, self.forcing, self.expected)))


def _part(series: Series, half: int) -> Series:
    """The first or the second half of a series."""
    rows = slice(None, len(series) // 2) if half == 0 else slice(len(series) // 2, None)
    lateral = None if series.lateral is None else series.lateral[rows]
    return Series(series.state[rows], series.forcing[rows], series.time[rows], lateral)


@register_dataclass
@dataclass(frozen=True)
class Climate:
    """Statistics, fixed fields and the law N(expected, covariance) of the interior given its frame."""

    mean: Any
    """(V,) of the state"""
    std: Any
    """(V,)"""
    forcing_mean: Any
    forcing_std: Any
    static: Any
    """(H, W, S) standardised"""
    by_frame: FrameMap
    covariance: Covariance
    """of the interior about what is expected"""
    frame: tuple[int, int] = field(metadata={"static": True})

    @classmethod
    def of(cls, data: WeatherData) -> Climate:
        """Found in the training split."""
        if data.mask is not None:
            raise UsageError(f"{data.source} has cells without values, which are not assimilated; leave them out")
        if data.around is not None:
            raise UsageError("an analysis takes its boundary from the frame of the data; leave --host out")
        stats, by_frame = statistics(data), FrameRegression().map(data)
        nothing = Covariance(np.zeros((0, 0), np.float32), (*data.grid, len(data.names)))
        fixed = (stats.mean, stats.std, stats.forcing_mean, stats.forcing_std)
        climate = cls(*fixed, (data.static - stats.static_mean) / stats.static_std, by_frame, nothing, data.frame)
        return replace(climate, covariance=Covariance.fit(climate._errors(data, stats)))

    def _errors(self, data: WeatherData, stats: Statistics) -> np.ndarray:
        """(n, h, w, V) errors of the expectation, in each half of the training split by the map of the other."""
        halves = [tuple(_part(s, half) for s in data.train) for half in (0, 1)]
        found = []
        for own, other in (halves, halves[::-1]):
            by_frame = FrameRegression().map(replace(data, train=other, stored=stats))
            half = replace(self, by_frame=by_frame)
            found += [half.states(s, range(len(s))) - half.situation(s, range(len(s))).expected for s in own]
        return np.concatenate(found)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, V) of the interior."""
        return self.covariance.shape

    def standard(self, states: Any) -> np.ndarray:
        """States (..., V) in standardised units."""
        return (np.asarray(states, np.float32) - np.asarray(self.mean)) / np.asarray(self.std)

    def physical(self, states: Any) -> np.ndarray:
        """The inverse of `standard`."""
        return np.asarray(states) * np.asarray(self.std) + np.asarray(self.mean)

    def states(self, series: Series, rows: Sequence[int]) -> np.ndarray:
        """(n, h, w, V) true interiors, standardised."""
        return interior_of(self.standard(take(series.state, np.asarray(rows))), self.frame)

    def situation(self, series: Series, rows: Sequence[int]) -> Situation:
        """What is known at some times of a series."""
        rows = np.asarray(rows)
        frame = frame_of(self.standard(take(series.boundary, rows)), self.frame)
        forcing = (np.asarray(take(series.forcing, rows), np.float32) - self.forcing_mean) / self.forcing_std
        h, w = (size - 2 * f for size, f in zip(np.shape(self.static)[:2], self.frame, strict=True))
        expected = self.by_frame(frame).reshape(len(rows), h, w, -1)
        return Situation(frame, forcing, expected.astype(np.float32))

    def condition(self, situation: Situation, *channels: Any) -> Conditioning:
        """What a network is told: the expected interior and further channels (n, h, w, .), the frame, the time."""
        n, width = situation.frame.shape[0], self.frame
        image = jnp.broadcast_to(jnp.asarray(self.static), (n, *np.shape(self.static)))
        scalars = jnp.zeros((n, 0), jnp.float32)
        if situation.forcing.shape[1:3] == (1, 1):
            scalars = jnp.asarray(situation.forcing[:, 0, 0])
        else:
            image = jnp.concatenate([situation.forcing, image], -1)
        inside = jnp.concatenate([situation.expected, *channels, interior_of(image, width)], -1)
        return Conditioning(inside, jnp.concatenate([situation.frame, frame_of(image, width)], -1), scalars)

    @staticmethod
    def sizes(layout: Layout, channels: int = 0) -> Sizes:
        """Sizes of the network, with so many further channels inside."""
        fields = layout.statics + (0 if layout.uniform else layout.forcings)
        inside, around = layout.variables + channels + fields, layout.variables + fields
        scalars = layout.forcings if layout.uniform else 0
        return Sizes(layout.grid, layout.frame, inside, around, scalars, layout.variables)
