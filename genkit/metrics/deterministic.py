"""Scores of one forecast against one truth; for an ensemble, pass its mean.

Arrays `pred` and `obs` have the same shape. `weights` broadcasts to it (area of a cell, 0 = left out) and
`reduce` names the averaged axes (None: all). Units are those of the field.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from genkit.metrics.mean import Axes, reduced_axes, weighted_mean


def mse(pred: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None) -> Array:
    """Mean squared error."""
    return weighted_mean(jnp.square(jnp.asarray(pred) - jnp.asarray(obs)), weights, reduce)


def rmse(
    pred: ArrayLike,
    obs: ArrayLike,
    weights: ArrayLike | None = None,
    reduce: Axes = None,
    sqrt_first: bool = False,
) -> Array:
    """Root mean squared error, the root taken after the mean over forecasts (Rasp et al. 2024).

    With `sqrt_first` the leading axis counts the forecasts and the root is taken for each of them before
    they are averaged; by Jensen's inequality this is never larger.
    """
    if not sqrt_first:
        return jnp.sqrt(mse(pred, obs, weights, reduce))
    axes = reduced_axes(jnp.ndim(obs), reduce)
    inside = tuple(a for a in axes if a != 0)
    each = rmse(pred, obs, weights, inside)
    return each.mean(axis=0) if 0 in axes else each


def psnr(
    pred: ArrayLike, obs: ArrayLike, peak: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None
) -> Array:
    """Peak signal-to-noise ratio 10 log10(peak^2 / MSE) in dB, `peak` the width of the range; infinite without error.

    Of several images it is the mean of those of each that is usually reported, not that of their common MSE.
    """
    return 10 * jnp.log10(jnp.square(jnp.asarray(peak)) / mse(pred, obs, weights, reduce))


def mae(pred: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None) -> Array:
    """Mean absolute error."""
    return weighted_mean(jnp.abs(jnp.asarray(pred) - jnp.asarray(obs)), weights, reduce)


def bias(pred: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None) -> Array:
    """Mean of forecast minus truth."""
    return weighted_mean(jnp.asarray(pred) - jnp.asarray(obs), weights, reduce)
