"""Standard normals of many axes, drawn flat: for a shape of four axes XLA takes ten times as long to compile."""

from functools import partial
from math import prod

import jax

from genkit.threefry import written_out

Array = jax.Array


def normal(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard normals of `shape`; the same numbers as `jax.random.normal`."""
    return jax.random.normal(written_out(key), (prod(shape),)).reshape(shape)


def normals(keys: Array, shape: tuple[int, ...]) -> Array:
    """Standard normals of `shape` (n, ...), item i from keys[i]."""
    return jax.vmap(partial(jax.random.normal, shape=(prod(shape[1:]),)))(written_out(keys)).reshape(shape)
