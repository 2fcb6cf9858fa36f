"""Scores of yes/no forecasts, as of a threshold being passed: the contingency table and what follows from it.

Events are booleans of the same shape; `weights` and `reduce` as in the other scores. Source: Wilks, Statistical Methods
in the Atmospheric Sciences, 8.2.
"""

from typing import NamedTuple

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
