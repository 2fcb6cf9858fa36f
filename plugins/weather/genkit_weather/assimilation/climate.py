"""What the training split tells of the interior at one time, without its past: the prior of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.assimilation.covariance import Covariance
from genkit_weather.baselines import FrameMap
from genkit_weather.data import Layout, Series, take
from genkit_weather.networks import Conditioning, Sizes

Rows = Sequence[int] | np.ndarray


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

    def states(self, series: Series, rows: Rows) -> np.ndarray:
        """(n, h, w, V) true interiors, standardised."""
        return interior_of(self.standard(take(series.state, np.asarray(rows))), self.frame)

    def situation(self, series: Series, rows: Rows) -> Situation:
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
