"""The sliced Wasserstein distance."""

import jax
import jax.numpy as jnp

from genkit.errors import UsageError

Array = jax.Array


def sliced_wasserstein(key: Array, x: Array, y: Array, directions: int = 1000) -> Array:
    """Mean over random directions of the Wasserstein-1 distance of projections of x (n, d) and y (m, d).

    Of sorted projections, mean |x_(i) - y_(i)| for n = m; else the area between the two quantile functions. Memory
    O(directions (n + m)). For finite samples of one law it is above zero: compare with two independent exact sets.
    """
    if x.ndim != 2 or x.shape[1:] != y.shape[1:]:
        raise UsageError(f"samples of shapes {x.shape} and {y.shape}; expected (n, d) and (m, d)")
    along = jax.random.normal(key, (directions, x.shape[1]))
    along = along / jnp.linalg.norm(along, axis=1, keepdims=True)
    a, b = (jnp.sort(along @ s.T, axis=1) for s in (x, y))
    n, m = len(x), len(y)
    if n == m:
        return jnp.abs(a - b).mean()
    # the quantile functions are constant between the levels i/n and j/m
    levels = jnp.sort(jnp.concatenate([jnp.arange(n + 1) / n, jnp.arange(1, m) / m]))
    middle = (levels[1:] + levels[:-1]) / 2
    gap = a[:, (middle * n).astype(int)] - b[:, (middle * m).astype(int)]
    return (jnp.abs(gap) * jnp.diff(levels)).sum(1).mean()
