"""The hash written out: the numbers of JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.threefry import written_out

KEY = jax.random.key(7)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits(dtype):
    with jax.enable_x64(True):
        for shape in ((), (7,), (3, 5)):
            bits = jax.random.bits(written_out(KEY), shape, dtype)
            np.testing.assert_array_equal(bits, jax.random.bits(KEY, shape, dtype))


def test_keys():
    same = written_out(KEY)
    for draw in (
        lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
        lambda key: jax.random.key_data(jax.random.fold_in(key, 2**32 - 3)),
        lambda key: jax.random.normal(key, (4,)),
        lambda key: jax.vmap(jax.random.normal)(jax.random.split(key, 3)),
        lambda key: jax.random.permutation(key, 9),
    ):
        np.testing.assert_array_equal(draw(same), draw(KEY))


def test_other_kinds_stay():
    raw, other = jnp.zeros(2, jnp.uint32), jax.random.key(0, impl="rbg")
    assert written_out(raw) is raw and written_out(other) is other
    same = written_out(KEY)
    assert written_out(same) is same
    with jax.threefry_partitionable(False):
        assert written_out(KEY) is KEY


def test_more_than_2_to_32_numbers():
    """Their counts have two words; only the shape is looked at."""
    draw = jax.eval_shape(lambda key: jax.random.bits(key, (2**17, 2**16), jnp.uint8), written_out(KEY))
    assert draw.shape == (2**17, 2**16)
