"""Distances between two sets of samples."""

import jax
import jax.numpy as jnp

Array = jax.Array


def energy_distance(x: Array, y: Array) -> Array:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| from samples x (n, d), y (m, d); zero in expectation if equal in law.

    The unbiased estimate (Szekely and Rizzo 2013): pairs of a sample with itself do not count. Memory O(n m).
    """

    def mean_distance(a: Array, b: Array) -> Array:
        return jnp.linalg.norm(a[:, None] - b[None], axis=-1).mean()

    n, m = x.shape[0], y.shape[0]
    return 2 * mean_distance(x, y) - mean_distance(x, x) * n / (n - 1) - mean_distance(y, y) * m / (m - 1)
