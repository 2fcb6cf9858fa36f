"""Is the ensemble statistically right: rank histograms and probabilities of events."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.stats import chi2
from jax.typing import ArrayLike

from genkit.metrics.mean import Axes, weighted_mean


def ranks(key: Array, ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """Rank of the truth among the members, 0 .. M: how many are below it; ties are broken at random."""
    x, y = jnp.moveaxis(jnp.asarray(ens), axis, 0), jnp.asarray(obs)
    below, ties = (x < y).sum(axis=0), (x == y).sum(axis=0)
    return below + jax.random.randint(key, y.shape, 0, ties + 1)


def rank_histogram(key: Array, ens: ArrayLike, obs: ArrayLike, axis: int = 0) -> Array:
    """Counts (M + 1,) of the ranks (Hamill 2001). Flat for a calibrated ensemble."""
    m = jnp.shape(ens)[axis]
    return jnp.bincount(ranks(key, ens, obs, axis).ravel(), length=m + 1)


class Flatness(NamedTuple):
    """Distance from a flat histogram and its probability under flatness."""

    chi2: Array
    p_value: Array


def flatness(counts: ArrayLike) -> Flatness:
    """Chi-square test of a flat histogram; the cases counted must be independent (thin cells and times)."""
    n = jnp.asarray(counts, jnp.float32)
    expected = n.mean()
    statistic = (jnp.square(n - expected) / expected).sum()
    return Flatness(statistic, chi2.sf(statistic, n.size - 1))


def exceedance(ens: ArrayLike, threshold: ArrayLike, axis: int = 0) -> Array:
    """Share of members `>= threshold`, float32; NaN where a member is NaN, which is no forecast of either."""
    x = jnp.asarray(ens)
    return jnp.where(jnp.isnan(x).any(axis), jnp.nan, (x >= threshold).mean(axis, dtype=jnp.float32))


def brier(
    ens: ArrayLike,
    obs: ArrayLike,
    threshold: ArrayLike,
    weights: ArrayLike | None = None,
    fair: bool = True,
    axis: int = 0,
    reduce: Axes = None,
) -> Array:
    """Brier score of the event `>= threshold`, with the share of members as its probability.

    `fair` takes off p(1 - p)/(M - 1) (Ferro 2014, eq. 5); it needs at least two members.
    """
    p = exceedance(ens, threshold, axis)
    score = jnp.square(p - (jnp.asarray(obs) >= threshold))
    if fair:
        score = score - p * (1 - p) / (jnp.shape(ens)[axis] - 1)
    return weighted_mean(score, weights, reduce)


class Reliability(NamedTuple):
    """Per bin of probability: mean forecast, share of events (both NaN in an empty bin), summed weight."""

    forecast: Array
    observed: Array
    weight: Array


def reliability(
    probability: ArrayLike, event: ArrayLike, weights: ArrayLike | None = None, bins: int = 10
) -> Reliability:
    """Reliability diagram: share of events among the cases forecast with about the same probability; NaN is no case."""
    p = jnp.asarray(probability, jnp.float32)
    w = jnp.broadcast_to(1.0 if weights is None else jnp.asarray(weights, jnp.float32), p.shape)
    w, p = jnp.where(jnp.isnan(p), 0, w).ravel(), jnp.nan_to_num(p)
    # The small step keeps 0.3, 0.6, ... (not exact in binary) in the bin that starts there.
    place = jnp.clip(jnp.floor(p.ravel() * bins + 1e-5), 0, bins - 1).astype(jnp.int32)
    total = jnp.zeros(bins).at[place].add(w)
    forecast = jnp.zeros(bins).at[place].add(w * p.ravel())
    observed = jnp.zeros(bins).at[place].add(w * jnp.asarray(event, jnp.float32).ravel())
    return Reliability(forecast / total, observed / total, total)
