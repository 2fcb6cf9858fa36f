"""Keys by seed and purpose, the same in every process and command."""

import zlib

import jax


def named_key(seed: int, name: str) -> jax.Array:
    """The key of a seed for a purpose, such as "forecast"."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
