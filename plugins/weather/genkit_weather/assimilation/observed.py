"""Observations of one time as numbers that a standardised state predicts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import xlogy

from genkit.errors import UsageError
from genkit.steer import Noise, Normal, Observation, dense, function, observe
from genkit.tree import register_dataclass
from genkit_weather.assimilation.quantities import ARCTAN, EXCEEDS, LINEAR, SPEED

EVEN = 0.5  # standard deviation of an even bit: the error of an event for methods that know normal errors alone
SMALLEST = 1e-12


@register_dataclass
@dataclass(frozen=True)
class Observed:
    """m numbers measured at one time; of a state x (h, w, V) each has one or two interpolated values in physical units.

    They are rows H diag(std) and constants H mean of the standardised state, 2 k numbers each however large it is.
    What is missing has an infinite error, so that all times of a network have one shape.
    """

    cells: Any
    """(2, m, k) int, places among the h w V numbers of a state"""
    weights: Any
    """(2, m, k) of them"""
    offset: Any
    """(2, m)"""
    kind: Any
    """(m,) int, see `quantities`"""
    limit: Any
    """(m,) of an event"""
    y: Any
    """(m,) what was measured; 0 or 1 of an event"""
    error: Any
    """(m,) standard deviation of the normal error; of an event that of the value before it is compared"""
    place: Any
    """(m, 2) row and column among the cells of the state"""
    variable: Any
    """(m,) int, the first variable of each"""
    shape: tuple[int, int, int] = field(metadata={"static": True})

    @property
    def there(self) -> Any:
        """(m,) bool, what is not missing."""
        return self.error < np.inf

    def without(self) -> Observed:
        """The same with everything missing."""
        return replace(self, error=np.full_like(self.error, np.inf))

    @property
    def errors(self) -> Any:
        """(m,) standard deviations for methods that know normal errors alone."""
        xp = jnp if isinstance(self.error, jax.Array) else np
        return xp.where((self.kind == EXCEEDS) & self.there, EVEN, self.error)

    def values(self, x: Any) -> Any:
        """(2, n, m) interpolated values of states (n, h, w, V), in physical units."""
        flat = x.reshape(x.shape[0], -1)
        xp = jnp if isinstance(x, jax.Array) else np
        return xp.stack([(flat[:, c] * w).sum(-1) + o for c, w, o in zip(self.cells, self.weights, self.offset)])  # noqa: B905

    def predict(self, x: Any) -> Any:
        """(n, m) what would be measured of states (n, h, w, V); of an event its probability."""
        first, second = self.values(x)
        return self._said(first, second, jnp if isinstance(x, jax.Array) else np)

    def _said(self, first: Any, second: Any, xp: Any) -> Any:
        calm = (first == 0) & (second == 0)  # where the slope of the speed is taken for 0
        speed = xp.where(calm, 0.0, xp.hypot(xp.where(calm, 1.0, first), second))
        width = xp.where(self.there & (self.kind == EXCEEDS), self.error, 1.0)
        event = 1 / (1 + xp.exp(-xp.clip(LOGISTIC * (first - self.limit) / width, -30, 30)))
        return xp.select(
            [self.kind == SPEED, self.kind == ARCTAN, self.kind == EXCEEDS], [speed, xp.arctan(first), event], first
        )

    def predict_of(self, values: np.ndarray) -> np.ndarray:
        """(m,) what would be measured where the interpolated values are these (2, m)."""
        return self._said(values[0], values[1], np)

    def slopes(self, values: np.ndarray) -> np.ndarray:
        """(2, m) derivatives of that."""
        first, second = values
        speed = np.maximum(np.hypot(first, second), SMALLEST)
        event = self._said(first, second, np)
        width = np.where(self.there, self.error, 1.0)
        own = np.select(
            [self.kind == SPEED, self.kind == ARCTAN, self.kind == EXCEEDS],
            [first / speed, 1 / (1 + first**2), LOGISTIC * event * (1 - event) / width],
            1.0,
        )
        return np.stack([own, np.where(self.kind == SPEED, second / speed, 0.0)])

    def relative(self, guess: Any, scale: Any) -> Observed:
        """The same of r, where the state is guess + scale r: guess (h, w, V), scale (V,) or of a state's shape."""
        xp = jnp if isinstance(guess, jax.Array) else np
        flat = guess.reshape(-1)
        scale = xp.broadcast_to(scale, self.shape).reshape(-1)
        offset = self.offset + (flat[self.cells] * self.weights).sum(-1)
        return replace(self, weights=self.weights * scale[self.cells], offset=offset)

    def observation(self) -> Observation:
        """For the methods of `genkit.steer` that take any operator; what is missing measures nothing."""
        there = self.there
        xp = jnp if isinstance(there, jax.Array) else np
        weights = xp.where(there[None, :, None], self.weights, 0.0)
        rows = replace(
            self,
            weights=weights,
            offset=xp.where(there, self.offset, 0.0),
            kind=xp.where(there, self.kind, LINEAR),
            y=xp.where(there, self.y, 0.0),
            error=xp.where(there, self.error, 1.0),
        )
        operator = function(jax.tree_util.Partial(_predict, rows), self.shape)
        if isinstance(self.kind, Tracer) or not (np.asarray(self.kind) == EXCEEDS).any():
            return Observation(operator, rows.y, Normal(rows.error))
        return observe(operator, rows.y, Mixed(rows.error, rows.kind == EXCEEDS))

    def rows(self) -> Observation:
        """For methods that need singular values: the numbers that are there as a matrix (m, d); linear ones alone."""
        if (np.asarray(self.kind) != LINEAR).any():
            raise UsageError("DDSMC takes linear observations; leave out wind speeds, arctangents and events")
        there = np.asarray(self.there)
        if not there.any():  # one number with an error beyond all doubt
            return observe(dense(np.eye(1, int(np.prod(self.shape))), self.shape), np.zeros(1), np.full(1, 1e6))
        matrix = np.zeros((there.sum(), int(np.prod(self.shape))))
        np.add.at(matrix, (np.arange(there.sum())[:, None], self.cells[0][there]), self.weights[0][there])
        return observe(dense(matrix, self.shape), (self.y - self.offset[0])[there], self.error[there])


LOGISTIC = 1.702  # a logistic function of this slope is the normal law within .01


def _predict(observed: Observed, x: Any) -> Any:
    return observed.predict(x)


@register_dataclass
@dataclass(frozen=True)
class Mixed(Noise):
    """Numbers with normal errors, and events of which the probability is predicted."""

    std: Any
    event: Any
    """(m,) bool"""

    def log_prob(self, y: Any, mean: Any) -> Any:
        """Sum over the numbers."""
        p = jnp.clip(mean, 1e-6, 1 - 1e-6)
        bit = xlogy(y, p) + xlogy(1 - y, 1 - p)
        normal = -0.5 * (((y - mean) / self.std) ** 2 + jnp.log(2 * jnp.pi * self.std**2))
        return jnp.where(self.event, bit, normal).sum(-1)

    def best(self, y: Any) -> Any:
        """Certainty, and no departure."""
        return jnp.where(self.event, 0.0, -0.5 * jnp.log(2 * jnp.pi * self.std**2)).sum(-1)

    def variance(self, y: Any) -> Any:
        """Of an even bit."""
        return jnp.where(self.event, EVEN**2, self.std**2)
