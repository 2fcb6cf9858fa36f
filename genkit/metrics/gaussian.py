"""Scores of a normal forecast distribution with given mean and standard deviation."""

import math

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from genkit.metrics.mean import Axes, weighted_mean


def nll_gaussian(
    mean: ArrayLike, std: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None
) -> Array:
    """Negative log density of `obs` under N(mean, std^2), in nats."""
    w = (jnp.asarray(obs) - mean) / std
    return weighted_mean(w**2 / 2 + jnp.log(std) + math.log(2 * math.pi) / 2, weights, reduce)
