"""Draws from categorical laws, one key per particle."""

from functools import partial
from math import prod

import jax
import jax.numpy as jnp

from genkit.threefry import written_out

Array = jax.Array


def categorical(keys: Array, log_p: Array) -> Array:
    """Draw from softmax(log_p) for log_p (n, ..., S), item i from keys[i]; returns (n, ...) int32.

    Gumbel noise of at least float32 and of full resolution in its tail: that of the usual 23 bits draws a class of
    probability 2e-7 a quarter too rarely and one of 2e-8 almost never, which thousands of steps and sites make matter.
    """
    log_p = log_p.astype(jnp.promote_types(log_p.dtype, jnp.float32))
    draw = partial(jax.random.gumbel, shape=(prod(log_p.shape[1:]),), dtype=log_p.dtype, mode="high")
    noise = jax.vmap(draw)(written_out(keys)).reshape(log_p.shape)
    return jnp.argmax(log_p + noise, -1).astype(jnp.int32)


def stratified(key: Array, n: int) -> Array:
    """n uniform numbers on (0, 1) that together cover it evenly, (n,)."""
    return (jax.random.uniform(key) + jnp.arange(n) / n) % 1.0
