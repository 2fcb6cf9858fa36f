"""Scores of yes/no forecasts, as of a threshold being passed: the contingency table, and shares of neighbourhoods.

Events are booleans of the same shape; `weights` and `reduce` as in the other scores. Source: Wilks, Statistical Methods
in the Atmospheric Sciences, 8.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from genkit.metrics.mean import Axes, weighted_mean


class Contingency(NamedTuple):
    """Shares of all cases, which sum to 1. A score without a case that it counts is NaN."""

    hits: Array
    """forecast and observed"""
    false_alarms: Array
    """forecast, not observed"""
    misses: Array
    """observed, not forecast"""
    rejections: Array
    """neither"""

    @property
    def ets(self) -> Array:
        """Equitable threat score (Gilbert skill score): 1 is perfect, 0 is chance, not below -1/3."""
        chance = (self.hits + self.misses) * (self.hits + self.false_alarms)
        return (self.hits - chance) / (self.hits + self.misses + self.false_alarms - chance)

    @property
    def frequency_bias(self) -> Array:
        """How often the event is forecast by how often it is observed."""
        return (self.hits + self.false_alarms) / (self.hits + self.misses)


def contingency(pred: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None) -> Contingency:
    """The contingency table of forecast events `pred` and observed events `obs`."""
    yes, true = jnp.asarray(pred, bool), jnp.asarray(obs, bool)
    cases = (yes & true, yes & ~true, ~yes & true, ~yes & ~true)
    return Contingency(*(weighted_mean(case.astype(jnp.float32), weights, reduce) for case in cases))


class Fractions(NamedTuple):
    """Terms of the fractions skill score, which are averaged over all cases before their ratio is taken."""

    error: Array
    """mean of (p - o)^2"""
    reference: Array
    """mean of p^2 + o^2, the error of shares that never overlap"""

    @property
    def fss(self) -> Array:
        """Fractions skill score: 1 is perfect, 0 is no overlap, NaN where nothing is forecast or observed."""
        return 1 - self.error / self.reference


def fractions(
    probability: ArrayLike, event: ArrayLike, width: int, weights: ArrayLike | None = None, reduce: Axes = None
) -> Fractions:
    """Shares p and o of forecast and observed events in squares of `width` cells about each cell (..., y, x).

    Squares are cut at the border and count cells of positive weight alone. `probability` is 0 or 1, or the share of
    members that have the event (Roberts & Lean 2008, eqs 5 to 7; of ensembles Schwartz et al. 2010).
    """
    p, o = jnp.asarray(probability, jnp.float32), jnp.asarray(event, jnp.float32)
    there = jnp.ones_like(p) if weights is None else jnp.broadcast_to(jnp.asarray(weights) > 0, p.shape) * 1.0
    window = (1,) * (p.ndim - 2) + (width, width)

    def around(x: Array) -> Array:
        return jax.lax.reduce_window(x * there, 0.0, jax.lax.add, window, (1,) * p.ndim, "SAME")

    count = jnp.maximum(around(jnp.ones_like(p)), 1)
    p, o = around(p) / count, around(o) / count
    terms = jnp.square(p - o), jnp.square(p) + jnp.square(o)
    return Fractions(*(weighted_mean(t, weights, reduce) for t in terms))
