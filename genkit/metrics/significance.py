"""Is one forecast system better than another, given that neighbouring start times are not independent."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


class Difference(NamedTuple):
    """Mean difference, bounds of its interval, and two-sided p-value of no difference; shapes (...)."""

    mean: Array
    low: Array
    high: Array
    p_value: Array


def stationary_indices(key: Array, n: int, block: ArrayLike, draws: int) -> Array:
    """Indices (draws, n) of resampled series: blocks of geometric length, mean `block`, wrapped around.

    Politis and Romano 1994: unlike fixed blocks, the resampled series is stationary.
    """
    restart_key, start_key = jax.random.split(key)
    place = jnp.arange(n)
    restart = jax.random.bernoulli(restart_key, 1 / jnp.asarray(block), (draws, n)).at[:, 0].set(True)
    start = jax.random.randint(start_key, (draws, n), 0, n)
    last = jax.lax.cummax(jnp.where(restart, place, 0), axis=1)
    return (jnp.take_along_axis(start, last, axis=1) + place - last) % n


def paired_bootstrap(
    key: Array,
    a: ArrayLike,
    b: ArrayLike,
    block: ArrayLike | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Difference:
    """Difference a - b of paired scores (starts, ...) with its bootstrap interval.

    The starts on the first axis are in order of time; `block` is the mean length of the blocks in starts,
    n^(1/3) by default and better the decorrelation time. The same blocks are drawn for both systems.
    """
    d = jnp.asarray(a) - jnp.asarray(b)
    n = d.shape[0]
    index = stationary_indices(key, n, n ** (1 / 3) if block is None else block, draws)
    return _difference(d.mean(axis=0), jax.lax.map(lambda i: d[i].mean(axis=0), index), level)


def two_sample_bootstrap(key: Array, a: ArrayLike, b: ArrayLike, draws: int = 1000, level: float = 0.95) -> Difference:
    """Difference of the means of two independent samples (n, ...) and (m, ...) with its bootstrap interval.

    The percentile interval of Efron 1979; of few values it is too narrow.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    keys = jax.random.split(key)
    indices = [jax.random.randint(k, (draws, len(x)), 0, len(x)) for k, x in zip(keys, (a, b), strict=True)]
    drawn = jax.lax.map(lambda i: a[i[0]].mean(axis=0) - b[i[1]].mean(axis=0), tuple(indices))
    return _difference(a.mean(axis=0) - b.mean(axis=0), drawn, level)


def _difference(mean: Array, drawn: Array, level: float) -> Difference:
    """A difference and what resampling made of it, (draws, ...)."""
    draws = len(drawn)
    low, high = jnp.quantile(drawn, jnp.array([(1 - level) / 2, (1 + level) / 2]), axis=0)
    extreme = (jnp.abs(drawn - mean) >= jnp.abs(mean)).sum(axis=0)
    return Difference(mean, low, high, (extreme + 1) / (draws + 1))
