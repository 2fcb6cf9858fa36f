"""The Kozachenko-Leonenko regulariser, on features and on prototypes."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genkit.errors import UsageError

Array = Any
ROWS = 2048  # of inner products that are in memory at a time


def unit(x: Array) -> Array:
    """x (..., d) divided by its norm, float32; zero stays zero."""
    x = jnp.asarray(x, jnp.float32)
    square = (x**2).sum(-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


def neighbours(x: Array, topk: int = 1) -> Array:
    """Indices (n, topk) of the nearest other unit vectors of x (n, d), by blocks of rows.

    Antipodal vectors too have another as their nearest: oneself is marked by -2.
    """
    n = x.shape[0]

    def block(rows: Array) -> Array:
        product = x[rows] @ x.T
        product = jnp.where(rows[:, None] == jnp.arange(n)[None], -2.0, product)
        return jnp.argmax(product, 1)[:, None] if topk == 1 else jax.lax.top_k(product, topk)[1]

    if n <= ROWS:
        return block(jnp.arange(n))
    size = -(-n // ROWS) * ROWS
    rows = jnp.minimum(jnp.arange(size), n - 1).reshape(-1, ROWS)
    return jax.lax.map(block, rows).reshape(size, topk)[:n]


@partial(jax.jit, static_argnames=("topk", "groups"))
def koleo(x: Array, eps: float = 1e-8, topk: int = 1, groups: int = 1, near: Array | None = None) -> Array:
    """-mean log(distance to the nearest others + eps) of x (n, d) on the unit sphere: small where they are spread out.

    On prototypes it is the regulariser of partial collapse (arXiv 2410.14060), on features that of DINOv2 (arXiv
    2304.07193; its topk and groups of samples are DINOv3's): two different things by one formula. It may be negative.
    Computed in float32, as half precision gives infinities. Gradients reach a vector and its neighbour; two equal
    vectors have distance 0, the value -log eps and no gradient, see `apart`. 0 for fewer than two vectors.

    Args:
        x: vectors (n, d), normalised here.
        eps: keeps the logarithm finite.
        topk: nearest others that count.
        groups: n is cut into this many groups, which do not see each other.
        near: indices (n, topk) from `neighbours`, where they are known; groups is then 1.
    """
    n = x.shape[0]
    if n < 2:
        return jnp.float32(0)
    if groups < 1 or n % groups or not 1 <= topk < n // groups:
        raise UsageError(f"koleo of {n} vectors, groups={groups}, topk={topk}: expected equal groups of more than topk")
    if groups > 1:
        return jax.vmap(lambda part: koleo(part, eps, topk))(x.reshape(groups, n // groups, -1)).mean()
    x = unit(x)
    near = neighbours(jax.lax.stop_gradient(x), topk) if near is None else near
    square = ((x[:, None] - x[near]) ** 2).sum(-1)
    distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    return -jnp.log(distance + eps).mean()


def apart(key: Array, w: Array, closer: float = 1e-6, jitter: float = 1e-4) -> Array:
    """w (n, d) with noise of `jitter` times its length on vectors that have another within `closer` on the sphere."""
    x = unit(w)
    distance = jnp.linalg.norm(x - x[neighbours(x)[:, 0]], axis=-1)
    length = jnp.linalg.norm(w, axis=-1, keepdims=True)
    noise = jitter * length * jax.random.normal(key, w.shape, w.dtype)
    return jnp.where(distance[:, None] < closer, w + noise, w)
