"""Descent on manifolds, as optax transformations: an update is the difference of two points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Rate = float | Callable[[Array], Array]


class _State(NamedTuple):
    count: Array
    """() int32"""
    first: Any
    """mean gradients, tangent at the points"""
    second: Any
    """mean squares of their lengths, one a point"""


def riemannian_sgd(manifold: Any, learning_rate: Rate) -> optax.GradientTransformation:
    """x <- exp_x(-lr grad), grad the Riemannian gradient (Bonnabel 2013, arXiv 1111.5280).

    All parameters are points (..., *shape) of the manifold; `optax.multi_transform` serves others. `update` needs them.
    """

    def init(params: Any) -> Array:
        return jnp.int32(0)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def move(x: Array, g: Array) -> Array:
            return manifold.exp(x, -_rate(learning_rate, state) * manifold.gradient(x, g)) - x

        return jax.tree.map(move, params, updates), state + 1

    return optax.GradientTransformation(init, update)


def riemannian_adam(
    manifold: Any, learning_rate: Rate, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam whose mean gradient is carried along by transport and whose second moment is one number a point (Becigneul
    and Ganea 2019, arXiv 1810.00760, without the largest second moment)."""

    def init(params: Any) -> _State:
        axes = len(manifold.shape)
        second = jax.tree.map(lambda x: jnp.zeros(x.shape[: x.ndim - axes], x.dtype), params)
        return _State(jnp.int32(0), jax.tree.map(jnp.zeros_like, params), second)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count = state.count + 1

        def move(x: Array, g: Array, first: Array, second: Array) -> Any:
            g = manifold.gradient(x, g)
            first = b1 * first + (1 - b1) * g
            second = b2 * second + (1 - b2) * manifold.inner(x, g, g)
            size = jnp.sqrt(second / (1 - b2**count)) + eps
            share = _rate(learning_rate, state.count) / (1 - b1**count) / size
            new = manifold.exp(x, -share[(..., *[None] * len(manifold.shape))] * first)
            return new - x, manifold.transport(x, new, first), second

        found = jax.tree.map(move, params, updates, state.first, state.second)
        change, first, second = (jax.tree.map(lambda _, f, i=i: f[i], params, found) for i in range(3))
        return change, _State(count, first, second)

    return optax.GradientTransformation(init, update)


def _rate(rate: Rate, count: Array) -> Any:
    return rate(count) if callable(rate) else rate
