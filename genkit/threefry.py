"""The hash of JAX's random keys, written out (threefry: Salmon, Moraes, Dror, Shaw 2011).

On the CPU JAX compiles it as a loop, which takes more than twice the time: `written_out(key)` draws the very same
numbers without it.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl

Array = jax.Array

SHIFTS = ((13, 15, 26, 6), (17, 29, 16, 24))


def written_out(key: Array) -> Array:
    """Keys, of any shape, that give the same numbers sooner; keys of another kind than JAX's default as they are.

    For the draw itself: functions that know the default kind alone (`jax.random.poisson`) refuse them.
    """
    default = jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and str(jax.random.key_impl(key)) == "threefry2x32"
    if not default or not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=THREEFRY)


@jax.jit  # traced once for all draws of a shape
def _hash(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 of 20 rounds; key (2,), counts of any one shape, all uint32."""
    words = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    a, b = high + words[0], low + words[1]
    for i in range(5):
        for shift in SHIFTS[i % 2]:
            a = a + b
            b = a ^ (b << shift | b >> (32 - shift))
        a, b = a + words[(i + 1) % 3], b + words[(i + 2) % 3] + np.uint32(i + 1)
    return a, b


def _counted(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The hash of 0, 1, 2, ... in an array of this shape."""
    low = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return _hash(key, jnp.zeros_like(low), low)


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_counted(key, shape), -1)


def _fold_in(key: Array, data: Array) -> Array:
    return jnp.stack(_hash(key, jnp.zeros_like(data), data))


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    if math.prod(shape) >= 2**32:  # counts of two words
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
        return jax.random.bits(key, shape, f"uint{width}")
    a, b = _counted(key, shape)
    return a.astype(np.uint64) << 32 | b if width == 64 else (a ^ b).astype(f"uint{width}")


THREEFRY = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,  # type: ignore[arg-type]
    name="threefry_written_out",
    tag="tfw",
)
