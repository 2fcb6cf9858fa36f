"""Images: padding rules, resampling, folding of patches."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit.nn as gnn


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("rules", [("zero", "circular"), ("replicate", "zero"), ("circular", "replicate")])
def test_convolution_against_padding_by_numpy(rules):
    conv = gnn.Conv(2, 3, padding=rules, rngs=nnx.Rngs(0))
    x = draw(0, 1, 5, 6, 2)
    modes = {"zero": "constant", "replicate": "edge", "circular": "wrap"}
    padded = np.pad(np.asarray(x), [(0, 0), (1, 1), (0, 0), (0, 0)], mode=modes[rules[0]])
    padded = np.pad(padded, [(0, 0), (0, 0), (1, 1), (0, 0)], mode=modes[rules[1]])
    kernel = np.asarray(conv.conv.kernel[...])
    expected = sum(padded[:, i : i + 5, j : j + 6] @ kernel[i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(conv(x), expected, atol=1e-5)


def test_derivatives_of_a_convolution():
    """Forwards, backwards and twice as of jax's own; in a loop the CPU has a fast kernel for one layout alone."""
    x, w = draw(0, 2, 5, 4, 3), draw(1, 3, 3, 3, 2)

    def ours(x, w):
        return jnp.tanh(gnn.convolve(x, w, (2, 1), [(1, 1), (0, 1)]))

    def theirs(x, w):
        axes = ("NHWC", "HWIO", "NHWC")
        return jnp.tanh(jax.lax.conv_general_dilated(x, w, (2, 1), [(1, 1), (0, 1)], dimension_numbers=axes))

    def slopes(f):
        def loss(x, w):
            return (f(x, w) ** 2).sum()

        back = jax.grad(loss, (0, 1))(x, w)
        twice = jax.grad(lambda x: (jax.grad(loss)(x, w) ** 2).sum())(x)
        return jax.jvp(f, (x, w), (x + 1, w - 1)), jax.jvp(lambda w: f(x, w), (w,), (w,)), back, twice

    for a, b in zip(*(jax.tree.leaves(jax.jit(slopes, static_argnums=0)(f)) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def down(x, w):
        slope = jax.grad(lambda x: (gnn.convolve(x, w, (1, 1), [(1, 1), (1, 1)]) ** 2).sum())
        return jax.lax.fori_loop(0, 3, lambda k, x: x - slope(x), x)

    if jax.default_backend() == "cpu":
        text = jax.jit(down).lower(x, draw(1, 3, 3, 3, 3)).compile().as_text()
        assert set(re.findall(r" convolution\(.*dim_labels=(\S+?),", text)) == {"b01f_01io->b01f"}


def test_resampling():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)
    np.testing.assert_allclose(gnn.downsample(x)[0, :, :, 0], [[2.5, 4.5]])
    np.testing.assert_allclose(gnn.upsample(x, (4, 7))[0, :, :, 0], np.kron(x[0, :, :, 0], np.ones((2, 2)))[:, :7])
    row = jnp.arange(4.0).reshape(1, 1, 4, 1)
    assert gnn.downsample(row).shape == (1, 1, 2, 1)
    assert gnn.upsample(gnn.downsample(row), (1, 4)).shape == (1, 1, 4, 1)


def test_pad_replicate_repeats_the_last_cells():
    x = draw(0, 1, 3, 4, 2)
    out = gnn.pad_replicate(x, (4, 4))
    np.testing.assert_array_equal(out[:, :3], x)
    np.testing.assert_array_equal(out[:, 3], x[:, 2])
    assert gnn.pad_replicate(x, (3, 4)) is x


@pytest.mark.parametrize("patch", [(2, 2), (1, 3), (2, 1)])
def test_patches_fold_and_unfold(patch):
    x = draw(0, 2, 4, 6, 3)
    folded = gnn.space_to_depth(x, patch)
    assert folded.shape == (2, 4 // patch[0], 6 // patch[1], 3 * patch[0] * patch[1])
    np.testing.assert_array_equal(folded[1, 1, 1, :3], x[1, patch[0], patch[1]])
    np.testing.assert_array_equal(gnn.depth_to_space(folded, patch), x)
