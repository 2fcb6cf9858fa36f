"""Geodesics of any manifold as polygons, for pictures and files."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genkit_latents.geometry.geodesics import Solver, begin, solve
from genkit_latents.geometry.numeric import Numeric

Array = jax.Array


class Curves(NamedTuple):
    """Shortest curves between pairs of points."""

    curve: Array
    """(n, points, *shape), at equal times"""
    length: Array
    """(n,)"""
    converged: Array
    """(n,) bool: a geodesic was found, and where there are closed forms it is the only shortest one"""


def between(manifold: Any, p: Array, q: Array, points: int = 33, solver: Solver | None = None) -> Curves:
    """Geodesics between the rows of p and q (n, *shape); a `Numeric` manifold's by `solver` in place of its own."""
    if isinstance(manifold, Numeric):
        found = solve(solver or manifold.solver, manifold.metric, p, q, chunk=128)
        curve = jax.vmap(lambda p, q, c: begin(p, q, points - 1, c))(p, q, found.curve)
        return Curves(curve, found.length, found.converged)
    return _closed(manifold, p, q, points)


@partial(jax.jit, static_argnames="points")
def _closed(manifold: Any, p: Array, q: Array, points: int) -> Curves:
    t = jnp.linspace(0, 1, points, dtype=p.dtype)
    curve = jax.vmap(lambda p, q: jax.vmap(lambda t: manifold.geodesic(p, q, t))(t))(p, q)
    length = manifold.dist(p, q)
    return Curves(curve, length, manifold.unique(p, q) & jnp.isfinite(length))
