"""Means and principal directions on a manifold."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit_latents import safe
from genkit_latents.implicit import solution

Array = jax.Array


class Mean(NamedTuple):
    """A Frechet mean."""

    point: Array
    """(*shape)"""
    converged: Array
    """() bool: the residual is below the tolerance or all points are one, no logarithm is NaN, no point is a cut point
    of the mean, and the variance grows in every direction"""
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
    iterations: int = 200,
    tolerance: float | None = None,
) -> Mean:
    """The point of least sum of squared distances to x (n, *shape), by descent along the mean of the logarithms.

    Steps are those of Barzilai and Borwein 1988 with the line search of Hager and Zhang 2005: a step of one, Karcher's,
    diverges where the points are far apart (the Hessian grows as r coth r). Unique in Euclidean and hyperbolic spaces
    and for points in half a hemisphere; else it is a local one, from the heaviest point or `start`. A saddle, as
    between three even points of a great circle, and any point of a whole set of means, as of two antipodal points, have
    not converged; another `start` leaves a saddle. Differentiable in points, weights and parameters of the manifold.
    With a negative weight nothing has converged. Raises `UsageError` for no point, and for weights that are not one a
    point.
    """
    x = jnp.asarray(x)
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
    if not len(x):
        raise UsageError("a Frechet mean of no points; expected one or more")
    if weights is not None and jnp.shape(weights) != x.shape[:1]:
        raise UsageError(f"weights of shape {jnp.shape(weights)} for {len(x)} points; expected one a point")
    fine = jnp.finfo(x.dtype).eps < 1e-12 and manifold.exact
    tolerance = tolerance or (1e-10 if fine else 1e-5)
    w = (
        jnp.full(x.shape[0], 1 / x.shape[0], x.dtype)
        if weights is None
        else jnp.asarray(weights, x.dtype) / jnp.sum(weights)
    )
    first = x[jnp.argmax(w)] if start is None else start
    find = partial(_descend, iterations, tolerance)
    args = manifold, x, w, first
    m, (i, residual, settled) = solution(find, _balance, _along, args)
    variance = _pull(manifold, x, w, m)[1]
    sure = settled & jnp.isfinite(variance) & (w >= 0).all()
    return Mean(m, sure & _strict(*jax.lax.stop_gradient((m, args))), i, residual, variance)


def _strict(m: Array, args: Any) -> Array:
    """Whether m, where the logarithms balance, is a strict local minimum of the variance, () bool."""
    manifold, x, w, _ = args
    if manifold.hadamard:  # its Hessian is at least 1
        return jnp.asarray(True)
    hessian = -jax.jacfwd(lambda a: _balance(_along(m, args, a), args))(jnp.zeros(manifold.dim, x.dtype))
    values = jnp.linalg.eigvalsh((hessian + hessian.T) / 2)
    smooth = jax.vmap(lambda y: manifold.unique(m, y))(x) | (w == 0)
    return (values > jnp.finfo(x.dtype).eps ** 0.5).all() & smooth.all()


def _pull(manifold: Any, x: Array, w: Array, m: Array) -> tuple[Array, Array]:
    """The mean of the logarithms at m, and that of their squares."""
    v = jax.vmap(lambda y: manifold.log(m, y))(x)
    return jnp.tensordot(w, v, 1), (w * jax.vmap(lambda u: manifold.inner(m, u, u))(v)).sum()


def _balance(m: Array, args: Any) -> Array:
    """(dim,), zero at the mean."""
    manifold, x, w, _ = args
    return manifold.components(m, _pull(manifold, x, w, m)[0])


def _along(m: Array, args: Any, a: Array) -> Array:
    return args[0].exp(m, args[0].vector(m, a))


class _State(NamedTuple):
    m: Array
    step: Array
    """the mean of the logarithms at m"""
    variance: Array
    size: Array
    """|step|^2"""
    t: Array
    """share of it to try"""
    iterations: Array


def _descend(iterations: int, tolerance: float, args: Any) -> tuple[Array, tuple[Array, Array, Array]]:
    manifold, x, w, first = args
    eps = jnp.finfo(x.dtype).eps
    heaviest = x[jnp.argmax(w)]
    away = jnp.abs(x - heaviest) > 4 * eps * jnp.abs(heaviest)
    one = ~(away.reshape(len(x), -1).any(1) & (w != 0)).any()  # then all logarithms are rounding

    def at(m: Array, t: Any, i: Any) -> _State:
        step, variance = _pull(manifold, x, w, m)
        return _State(m, step, variance, manifold.inner(m, step, step), jnp.asarray(t, x.dtype), jnp.int32(i))

    def residual(s: _State) -> Array:
        return safe.root(s.size / jnp.where(s.variance > 0, s.variance, 1))

    def settled(s: _State) -> Array:
        return one | (s.size <= tolerance**2 * s.variance)

    def more(s: _State) -> Array:
        return ~settled(s) & (s.iterations < iterations) & (s.t > eps)

    def move(s: _State) -> _State:
        new = at(manifold.exp(s.m, s.t * s.step), s.t, s.iterations + 1)
        slope = manifold.inner(new.m, new.step, manifold.log(new.m, s.m)) / s.t  # of half the variance along the step
        falls = new.variance <= s.variance - 0.2 * s.t * s.size
        turns = (new.variance <= s.variance * (1 + 8 * eps)) & (slope <= 0.8 * s.size)  # where rounding hides the fall
        good = (falls | turns) & jnp.isfinite(new.step).all() & jnp.isfinite(new.m).all()
        bend = (slope + s.size) / s.size
        secant = jnp.where(bend > 0.1, s.t / jnp.where(bend > 0.1, bend, 1), 4 * s.t)
        shorter = jnp.where(jnp.isfinite(secant), jnp.clip(secant, s.t / 8, s.t / 2), s.t / 8)
        stay = s._replace(t=shorter, iterations=new.iterations)
        go = new._replace(t=jnp.clip(secant, 1e-3, 4))
        return jax.tree.map(partial(jnp.where, good), go, stay)

    end = jax.lax.while_loop(more, move, at(jnp.where(one, heaviest, first), 1, 0))
    return end.m, (end.iterations, residual(end), settled(end))


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
