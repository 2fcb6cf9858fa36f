"""Standard normals of many axes, drawn flat: for a shape of four axes XLA takes ten times as long to compile."""

from functools import partial
from math import prod

import jax

Array = jax.Array


def normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normals of `shape`; the same numbers as `jax.random.normal`."""
    return jax.random.normal(key, (prod(shape),)).reshape(shape)


def normals(keys: Array, shape: tuple[int, ...]) -> Array:
    """Standard normals of `shape` (n, ...), item i from keys[i]."""
    return jax.vmap(partial(jax.random.normal, shape=(prod(shape[1:]),)))(keys).reshape(shape)
