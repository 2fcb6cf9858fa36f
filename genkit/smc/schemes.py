"""Resampling schemes: (key, log_w (n,), m) -> idx (m,) int32, the parents of m children.

All are unbiased: parent i has on average m W_i children, W = exp(log_w) / sum. Weights of zero (-inf) have no children;
if all are zero they count as equal. Time and memory are O(n + m), with a factor log n where a scheme searches.
Overview: Gerber, Chopin, Whiteley, Negative association, ordering and convergence of resampling methods (2019).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Scheme = Callable[[Array, Array, int], Array]


def systematic(key: Array, log_w: Array, m: int) -> Array:
    """One uniform U and the positions (k + U) / m: floor or ceil of m W_i children. Equal weights give 0..n-1."""
    c = _cumulative(_weights(log_w))
    return _expand(_below(c, m, jax.random.uniform(key, (1,), c.dtype)), m)


def _weights(log_w: Array) -> Array:
    """Weights (n,) with maximum 1; all 1 if all are zero."""
    top = log_w.max()
    return jnp.where(top == -jnp.inf, 1.0, jnp.exp(log_w - jnp.where(top == -jnp.inf, 0.0, top)))


def _cumulative(w: Array) -> Array:
    """Cumulative sums; a parallel sum in floating point need not be monotone, and must not step up at a zero weight."""
    return jax.lax.cummax(jnp.where(w > 0, jnp.cumsum(w), 0.0))


def _below(c: Array, m: int, u: Array) -> Array:
    """How many of the positions (k + u_k) / m, k = 0..m-1, lie below c_i / c_n, (n,) int32; u (m,), or (1,) for all."""
    x = c * (m / c[-1])
    k = jnp.clip(jnp.floor(x), 0, m - 1).astype(jnp.int32)
    ends = k + (u[k % u.shape[0]] < x - k)
    return jnp.where(c == c[-1], m, ends)


def _expand(ends: Array, m: int) -> Array:
    """Parents (m,); the children of parent i end before place ends_i, (n,) int, non-decreasing, the last of them m."""
    return jnp.cumsum(jnp.zeros(m, jnp.int32).at[ends].add(1, mode="drop"))
