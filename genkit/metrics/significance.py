"""Is one forecast system better than another, given that neighbouring start times are not independent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
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
    mean, drawn = d.mean(axis=0), jax.lax.map(lambda i: d[i].mean(axis=0), index)
    low, high = jnp.quantile(drawn, jnp.array([(1 - level) / 2, (1 + level) / 2]), axis=0)
    extreme = (jnp.abs(drawn - mean) >= jnp.abs(mean)).sum(axis=0)
    return Difference(mean, low, high, (extreme + 1) / (draws + 1))


def t_interval(a: Any, b: Any, paired: bool, level: float = 0.95) -> Difference:
    """Difference of the means of a few independent values, (n,) and (m,), at least two each, with its t interval.

    `paired` takes that of the differences a - b (n - 1 degrees of freedom), exact where they are normal; else it is
    that of Welch 1947. A bootstrap of n values cannot say more than the range of n values.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean: Any = a.mean() - b.mean()
    parts = [(x.var(ddof=1) / len(x), len(x) - 1) for x in ([a - b] if paired else [a, b])]
    error = np.sqrt(sum(v for v, _ in parts))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 * (mean == 0))
    freedom = error**4 / sum(v**2 / n for v, n in parts)
    half = error * scipy.special.stdtrit(freedom, (1 + level) / 2)
    return Difference(mean, mean - half, mean + half, 2 * scipy.special.stdtr(freedom, -abs(mean) / error))
