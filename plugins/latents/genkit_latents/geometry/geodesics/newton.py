"""Newton's method with Levenberg's damping, and small linear algebra that the vector units like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
EXPLICIT = 4  # largest matrix that is inverted by written-out elimination


class State(NamedTuple):
    """Of a minimisation."""

    x: Any
    value: Array
    damping: Array
    """relative to the mean curvature; 0 is Newton's step"""
    iterations: Array
    residual: Array
    stuck: Array
    """bool: no damping makes the value fall"""


def minimise(
    value: Callable[[Array], Array],
    newton: Callable[[Array], tuple[Array, Callable[[Array], Array]]],
    size: Callable[[Array, Array], Array],
    x: Array,
    tolerance: float,
    most: int,
) -> State:
    """Minimise `value` from x.

    Args:
        value: the function.
        newton: x -> (gradient like x, solve), solve(damping) -> the step -(H + damping mean(diag H) I)^-1 gradient.
        size: (value, gradient) -> residual ().
        x: where to begin.
        tolerance: of the residual.
        most: iterations, each with one Hessian.

    A step is taken only where the value does not rise (by more than rounding), so a saddle is no end.
    """
    eps = jnp.finfo(x.dtype).eps

    def more(s: State) -> Array:
        return (s.residual > tolerance) & (s.iterations < most) & ~s.stuck

    def move(s: State) -> State:
        gradient, solve = newton(s.x)
        residual = size(s.value, gradient)
        done = residual <= tolerance
        trial = s.x + solve(s.damping)
        new = value(trial)
        good = jnp.isfinite(trial).all() & (new <= s.value + 4 * eps * jnp.abs(s.value)) & ~done
        raised = jnp.maximum(4 * s.damping, 1e-3)
        eased = jnp.where(s.damping > 1e-6, s.damping / 8, 0)
        damping = jnp.where(good, eased, jnp.where(done, s.damping, raised))
        x, kept = jnp.where(good, trial, s.x), jnp.where(good, new, s.value)
        return State(x, kept, damping, s.iterations + ~done, residual, damping > 1e8)

    start = State(x, value(x), jnp.zeros((), x.dtype), jnp.int32(0), jnp.array(jnp.inf, x.dtype), jnp.bool(False))
    return jax.lax.while_loop(more, move, start)


def root_find(
    f: Callable[[Array], Array], x: Array, scale: Array, tolerance: float, most: int, halvings: int = 6
) -> tuple[Array, Array, Array]:
    """A root of f: (n,) -> (n,) by Newton's method; (x, iterations, largest |f| / scale).

    Each step is the best of 1, 1/2, 1/4, ... of the full one; it stops where none is an improvement.
    """
    shares = 0.5 ** jnp.arange(halvings, dtype=x.dtype)

    def error(x: Array) -> Array:
        return jnp.abs(f(x)).max() / scale

    def more(s: Any) -> Array:
        _, i, now, stuck = s
        return (now > tolerance) & (i < most) & ~stuck

    def move(s: Any) -> Any:
        x, i, now, _ = s
        step = jnp.linalg.solve(jax.jacfwd(f)(x), f(x))
        trials = x - shares[:, None] * step
        errors = jax.vmap(error)(trials)
        errors = jnp.where(jnp.isfinite(errors), errors, jnp.inf)
        best = jnp.argmin(errors)
        better = errors[best] < now
        return jnp.where(better, trials[best], x), i + 1, jnp.where(better, errors[best], now), ~better

    x, iterations, residual, _ = jax.lax.while_loop(more, move, (x, jnp.int32(0), error(x), jnp.bool(False)))
    return x, iterations, residual


def inverse(a: Array) -> Array:
    """Inverse of a positive definite matrix; small ones are eliminated in place, which batches well."""
    d = a.shape[-1]
    if d > EXPLICIT:
        return jnp.linalg.inv(a)
    for k in range(d):
        pivot = 1 / a[k, k]
        row, column = a[k] * pivot, a[:, k] * pivot
        a = a - jnp.outer(a[:, k], row)
        a = a.at[k].set(row).at[:, k].set(-column).at[k, k].set(pivot)
    return a


def tridiagonal(diagonal: Array, upper: Array, right: Array) -> Array:
    """Solve a symmetric block-tridiagonal system (Thomas): blocks (n, d, d), (n - 1, d, d), right side (n, d)."""
    below = jnp.concatenate([jnp.zeros_like(diagonal[:1]), upper])  # couples row i to row i - 1
    nothing = jnp.zeros_like(diagonal[0]), jnp.zeros_like(right[0])

    def forward(carry: Any, row: Any) -> Any:
        before, y = carry
        a, u, b = row
        gain = u.T @ before
        now, y = inverse(a - gain @ u), b - gain @ y
        return (now, y), (now, y)

    _, (inverses, ys) = jax.lax.scan(forward, nothing, (diagonal, below, right))
    after = jnp.concatenate([upper, jnp.zeros_like(diagonal[:1])])

    def back(x: Array, row: Any) -> Any:
        d, u, y = row
        x = d @ (y - u @ x)
        return x, x

    _, xs = jax.lax.scan(back, jnp.zeros_like(right[0]), (inverses, after, ys), reverse=True)
    return xs
