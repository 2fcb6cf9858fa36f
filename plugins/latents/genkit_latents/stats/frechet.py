"""Means and principal directions on a manifold."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError

Array = jax.Array


class Mean(NamedTuple):
    """A Frechet mean."""

    point: Array
    """(*shape)"""
    converged: Array
    """() bool: the last step is below the tolerance"""
    iterations: Array
    """() int"""
    residual: Array
    """() length of the mean of the logarithms, over the root of the variance"""
    variance: Array
    """() weighted mean of squared distances"""


def frechet_mean(
    manifold: Any,
    x: Array,
    weights: Array | None = None,
    start: Array | None = None,
    iterations: int = 100,
    tolerance: float | None = None,
) -> Mean:
    """The point of least sum of squared distances to x (n, *shape), by mean <- exp(mean of logs) (Karcher's flow).

    Unique in flat and hyperbolic spaces and for points in half a hemisphere; else it is a local one, from the first
    point or `start`.
    """
    tolerance = tolerance or (1e-10 if jnp.finfo(x.dtype).eps < 1e-12 else 1e-5)
    w = jnp.full(x.shape[0], 1 / x.shape[0], x.dtype) if weights is None else weights / weights.sum()

    def logs(m: Array) -> tuple[Array, Array, Array]:
        v = jax.vmap(lambda y: manifold.log(m, y))(x)
        step = jnp.tensordot(w, v, 1)
        variance = (w * jax.vmap(lambda u: manifold.inner(m, u, u))(v)).sum()
        scale = jnp.sqrt(jnp.where(variance > 0, variance, 1))
        return step, variance, manifold.norm(m, step) / scale

    def more(s: Any) -> Array:
        _, i, residual = s
        return (residual > tolerance) & (i < iterations)

    def move(s: Any) -> Any:
        m, i, _ = s
        step, _, _ = logs(m)
        m = manifold.exp(m, step)
        return m, i + 1, logs(m)[2]

    first = x[jnp.argmax(w)] if start is None else start
    m, i, residual = jax.lax.while_loop(more, move, (first, jnp.int32(0), logs(first)[2]))
    return Mean(m, residual <= tolerance, i, residual, logs(m)[1])


def tangent_pca(manifold: Any, x: Array, mean: Array) -> tuple[Array, Array]:
    """Variances (dim,), largest first, and directions (dim, *shape) at the mean, of the logarithms of x (n, *shape)."""
    a = jax.vmap(lambda y: manifold.components(mean, manifold.log(mean, y)))(x)
    values, vectors = jnp.linalg.eigh(a.T @ a / a.shape[0])
    return values[::-1], jnp.tensordot(vectors.T[::-1], manifold.frame(mean), 1)


def distances(manifold: Any, x: Array, y: Array, chunk: int = 4096) -> np.ndarray:
    """All geodesic distances (n, m), `chunk` pairs at a time; `GenkitError` where a solver did not converge."""
    n, m = len(x), len(y)
    rows, columns = np.divmod(np.arange(n * m), m)
    step = min(chunk, n * m)

    @jax.jit
    def some(manifold: Any, i: Array, j: Array) -> Array:
        return jax.vmap(manifold.dist)(jnp.asarray(x)[i], jnp.asarray(y)[j])

    out = np.empty(n * m, np.float64)
    for start in range(0, n * m, step):
        part = slice(max(0, min(start, n * m - step)), min(start, n * m - step) + step)
        out[part] = some(manifold, rows[part], columns[part])
    if np.isnan(out).any():
        raise GenkitError(
            f"{np.isnan(out).sum()} of {out.size} distances were not found (no geodesic converged); "
            "use more segments or a Hybrid solver"
        )
    return out.reshape(n, m)
