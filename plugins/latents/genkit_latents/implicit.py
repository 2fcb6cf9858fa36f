"""Derivatives of what an iteration finds, by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def shifted(y: Array, args: Any, a: Array) -> Array:
    """y + a: how unknowns of flat space move."""
    return y + a


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def solution(find: Callable, equations: Callable, move: Callable, args: Any) -> tuple[Array, Any]:
    """What `find(args)` gives, (y, notes): a root y of `equations(y, args)`, and notes about the search.

    The derivative of y in args is that of the root, forward and backward, however it was found: da = -J^-1 dF, with J
    the Jacobian of F(move(y, args, a), args) at a = 0. Notes have none. Parameters must be leaves of args; second
    derivatives are those of this formula.
    """
    return find(args)


@solution.defjvp
def _(find: Any, equations: Any, move: Any, primals: Any, tangents: Any) -> Any:
    (args,), (change,) = primals, tangents
    y, notes = solution(find, equations, move, args)
    zero = jnp.zeros_like(equations(y, args))

    def of(a: Array, args: Any) -> Array:
        return equations(move(y, args, a.reshape(zero.shape)), args).ravel()

    jacobian = jax.jacfwd(of)(zero.ravel(), args)
    _, right = jax.jvp(partial(of, zero.ravel()), (args,), (change,))
    step = -jnp.linalg.solve(jacobian, right).reshape(zero.shape)
    _, slope = jax.jvp(partial(move, y), (args, zero), (change, step))
    return (y, notes), (slope, jax.tree.map(_nothing, notes))


def _nothing(a: Array) -> Any:
    inexact = jnp.issubdtype(jnp.result_type(a), jnp.inexact)
    return jnp.zeros_like(a) if inexact else np.zeros(jnp.shape(a), jax.dtypes.float0)
