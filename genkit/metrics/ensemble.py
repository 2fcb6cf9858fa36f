"""Scores of an ensemble against the truth.

`ens` carries the members on `axis` (the first by default); without it, its shape is that of `obs`.
`weights` broadcasts to `obs` (area of a cell, 0 = left out), `reduce` names the averaged axes of `obs`
(None: all, (): none). `fair` scores estimate what an infinite ensemble of the same law would get
(Ferro 2014); the biased ones score the members as the whole forecast. All are jit-, vmap- and grad-able.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from genkit.metrics.mean import Axes, reduced_axes, weighted_mean
from genkit.metrics.sorting import sort_members


def crps(
    ens: ArrayLike,
    obs: ArrayLike,
    weights: ArrayLike | None = None,
    fair: bool | float = True,
    axis: int = 0,
    reduce: Axes = None,
) -> Array:
    """Continuous ranked probability score by sorting; the absolute error for one member.

    mean_m |x_m - y| - c sum_ij |x_i - x_j| / 2 with c = 1/(M(M-1)) where `fair`, 1/M^2 where not. A number
    alpha in between weighs the two: the almost fair score (Lang et al. 2024, arXiv:2412.15832, eq. 3).
    """
    d = jnp.moveaxis(jnp.asarray(ens), axis, 0) - jnp.asarray(obs)
    return weighted_mean(_crps(d, jnp.asarray(fair, d.dtype)), weights, reduce)


@jax.jit
def _crps(d: Array, alpha: Array) -> Array:
    """Of members (M, ...) as departures from the truth: no cancellation where the field is large (geopotential)."""
    m = d.shape[0]
    error = jnp.abs(d).mean(axis=0)
    if m > 1:
        # sum_ij |x_i - x_j| / 2 = sum_i (2i - M - 1) x_(i), i from 1 in the sorted sample
        order = (2 * jnp.arange(1, m + 1) - m - 1).astype(d.dtype)
        gini = jnp.tensordot(order, sort_members(d), axes=1, precision="highest")
        error = error - (alpha / (m * (m - 1)) + (1 - alpha) / m**2) * gini
    return error


def variance(ens: ArrayLike, weights: ArrayLike | None = None, axis: int = 0, reduce: Axes = None) -> Array:
    """Mean of the unbiased variance of the members (M >= 2)."""
    return weighted_mean(jnp.var(jnp.asarray(ens), axis=axis, ddof=1), weights, reduce)


def spread(ens: ArrayLike, weights: ArrayLike | None = None, axis: int = 0, reduce: Axes = None) -> Array:
    """Root of the mean variance of the members (Fortin et al. 2014: the root comes last)."""
    return jnp.sqrt(variance(ens, weights, axis, reduce))


def mean_mse(
    ens: ArrayLike,
    obs: ArrayLike,
    weights: ArrayLike | None = None,
    fair: bool = True,
    axis: int = 0,
    reduce: Axes = None,
) -> Array:
    """Squared error of the ensemble mean; `fair` takes off s^2 / M, absent in an infinite ensemble."""
    x = jnp.asarray(ens)
    error = jnp.square(x.mean(axis=axis) - jnp.asarray(obs))
    if fair:
        error = error - jnp.var(x, axis=axis, ddof=1) / x.shape[axis]
    return weighted_mean(error, weights, reduce)


def spread_skill_ratio(
    ens: ArrayLike, obs: ArrayLike, weights: ArrayLike | None = None, axis: int = 0, reduce: Axes = None
) -> Array:
    """sqrt((M + 1) / M) spread / RMSE of the mean; 1 if truth and members are exchangeable (Fortin 2014)."""
    m = jnp.shape(ens)[axis]
    error = jnp.sqrt(mean_mse(ens, obs, weights, False, axis, reduce))
    return jnp.sqrt((m + 1) / m) * spread(ens, weights, axis, reduce) / error


def energy_score(
    ens: ArrayLike,
    obs: ArrayLike,
    weights: ArrayLike | None = None,
    fair: bool = True,
    axis: int = 0,
    vector: Axes = -1,
    reduce: Axes = None,
) -> Array:
    """Energy score, the CRPS of vectors (Gneiting and Raftery 2007, eq. 22).

    `vector` names the axes of `obs` that make up the vector; its norm is sqrt(sum_g a_g x_g^2) with
    `weights` a over these axes normalised to mean 1. `reduce` counts the axes that are left.
    O(M^2) norms, in memory one member against all.
    """
    x, y = jnp.moveaxis(jnp.asarray(ens), axis, 0), jnp.asarray(obs)
    m, axes = x.shape[0], reduced_axes(y.ndim, vector)
    size = math.prod(y.shape[a] for a in axes)

    def norm(d: Array) -> Array:
        lead = d.ndim - y.ndim
        square = size * weighted_mean(jnp.square(d), weights, tuple(lead + a for a in axes))
        # The norm of 0 (a member against itself) has no gradient: keep the root away from it.
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)

    score = norm(x - y).mean(axis=0)
    if m > 1:
        pairs = jax.lax.map(lambda member: norm(x - member).sum(axis=0), x).sum(axis=0)
        score = score - pairs / (2 * m * (m - 1) if fair else 2 * m * m)
    return weighted_mean(score, None, reduce)


def variogram_score(
    ens: ArrayLike,
    obs: ArrayLike,
    radius: float = 2.0,
    p: float = 0.5,
    axis: int = 0,
    reduce: Axes = None,
) -> Array:
    """Variogram score of fields (..., y, x) (Scheuerer and Hamill 2015, eq. 12).

    sum_ij w_ij (|y_i - y_j|^p - mean_m |x_mi - x_mj|^p)^2 over the ordered pairs of cells at most `radius`
    cells apart, w_ij = 1 / distance. `reduce` counts the axes before (y, x).
    """
    x, y = jnp.moveaxis(jnp.asarray(ens), axis, 0), jnp.asarray(obs)
    total = jnp.zeros(y.shape[:-2], y.dtype)
    for dy, dx in half_disc(radius, y.shape[-2:]):
        truth = _increment(y, dy, dx) ** p
        members = (_increment(x, dy, dx) ** p).mean(axis=0)
        weight = 2 / (dy * dy + dx * dx) ** 0.5
        total = total + weight * jnp.square(truth - members).sum(axis=(-2, -1))
    return weighted_mean(total, None, reduce)


def half_disc(radius: float, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Offsets (dy, dx) of each unordered pair of cells at most `radius` apart on a grid of `shape`."""
    reach = int(radius)
    return [
        (dy, dx)
        for dy in range(min(reach, shape[0] - 1) + 1)
        for dx in range(-min(reach, shape[1] - 1), min(reach, shape[1] - 1) + 1)
        if (dy > 0 or dx > 0) and dy * dy + dx * dx <= radius * radius
    ]


def _increment(x: Array, dy: int, dx: int) -> Array:
    height, width = x.shape[-2:]
    here = x[..., : height - dy, max(0, -dx) : width - max(0, dx)]
    there = x[..., dy:, max(0, dx) : width - max(0, -dx)]
    return jnp.abs(there - here)
