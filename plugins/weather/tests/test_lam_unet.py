"""The network of Diffusion-LAM."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit.nn as gnn
from genkit_weather.networks.conditioning import Conditioning, Sizes
from genkit_weather.networks.unet import CellEmbedder, LamUNet, smoothed

SIZES = Sizes(grid=(9, 11), frame=(2, 3), interior=4, boundary=6, scalars=3, outputs=2)
SMALL = LamUNet(base=8, multipliers=(1, 2), blocks=1, embedder=4, embedding=8)


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def conditioning(sizes, n=2):
    (h, w), (fy, fx) = sizes.grid, sizes.frame
    inner = h - 2 * fy, w - 2 * fx
    cells = h * w - inner[0] * inner[1]
    cond = Conditioning(
        draw(1, n, *inner, sizes.interior), draw(2, n, cells, sizes.boundary), draw(3, n, sizes.scalars)
    )
    return draw(0, n, *inner, sizes.outputs), cond


@pytest.fixture(scope="module")
def lively():
    net = gnn.Net(SMALL, (SIZES,))
    leaves, tree = jax.tree.flatten(net.shapes())
    return jax.jit(net), jax.tree.unflatten(
        tree, [np.float32(0.3) * draw(i, *leaf.shape) for i, leaf in enumerate(leaves)]
    )


def test_every_input_matters(lively):
    apply, params = lively
    x, cond = conditioning(SIZES)
    level = jnp.array([0.1, -0.4])
    out = apply(params, x, level, cond)
    assert out.shape == x.shape and out.dtype == jnp.float32
    for name in ("interior", "frame", "scalars"):
        assert not np.allclose(out, apply(params, x, level, replace(cond, **{name: 0 * getattr(cond, name)})))
    assert not np.allclose(out, apply(params, 2 * x, level, cond))
    assert not np.allclose(out, apply(params, x, 2 * level, cond))


def test_items_do_not_mix(lively):
    apply, params = lively
    x, cond = conditioning(SIZES)
    level = jnp.array([0.1, -0.4])
    swapped = jax.tree.map(lambda a: a[::-1], (x, level, cond))
    np.testing.assert_allclose(apply(params, *swapped)[::-1], apply(params, x, level, cond), atol=1e-4)


def test_the_noise_skip_adds_a_multiple_of_the_noisy_input_by_scale_and_variable():
    net = gnn.Net(SMALL, (SIZES,))
    params, call = jax.jit(net.init)(jax.random.key(0)), jax.jit(net)
    x, cond = conditioning(SIZES)
    before = call(params, x, jnp.array([0.1, -0.4]), cond)
    gains = np.array([[2.0, -1.0], [0.0, 0.0], [0.5, 3.0], [0.0, 0.0]], np.float32)
    params["skip"]["bias"] = gains.ravel()
    after = call(params, x, jnp.array([0.1, -0.4]), cond)
    expected = gains[0] * x + gains[2] * smoothed(x, 3)[..., 2, :]
    np.testing.assert_allclose(after - before, expected, atol=1e-4)


def test_scalars_equal_repeated_fields():
    embed = CellEmbedder(3, 2, 4, 5, skip=False, dtype=jnp.float32, rngs=nnx.Rngs(0))
    whole = CellEmbedder(5, 0, 4, 5, skip=False, dtype=jnp.float32, rngs=nnx.Rngs(1))
    kernels = [embed.first.kernel[...], embed.common.kernel[...]]
    whole.first.kernel = nnx.Param(jnp.concatenate(kernels))
    whole.second, whole.norm = embed.second, embed.norm
    x, scalars, emb = draw(0, 2, 3, 4, 3), draw(1, 2, 2), draw(2, 2, 5)
    repeated = jnp.concatenate([x, jnp.broadcast_to(scalars[:, None, None], (2, 3, 4, 2))], -1)
    np.testing.assert_allclose(embed(x, scalars, emb), whole(repeated, jnp.zeros((2, 0)), emb), atol=1e-5)


def test_published_size_by_abstract_evaluation():
    sizes = Sizes((268, 238), (10, 10), interior=54, boundary=71, scalars=0, outputs=17)
    apply, params = gnn.abstract(lambda rngs: LamUNet.preset("paper").build(rngs, sizes))
    inner, cells = (248, 218), 9720
    cond = Conditioning(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, *inner, 54), (2, cells, 71), (2, 0))))
    out = jax.eval_shape(apply, params, jax.ShapeDtypeStruct((2, *inner, 17), jnp.float32), jnp.zeros(2), cond)
    assert out.shape == (2, *inner, 17)
    assert gnn.parameter_count(params) == 61_794_961


def test_a_row_of_cells_and_a_domain_without_frame():
    for sizes in (replace(SIZES, grid=(1, 12), frame=(0, 4)), replace(SIZES, frame=(0, 0), boundary=0)):
        net = gnn.Net(SMALL, (sizes,))
        x, cond = conditioning(sizes)
        assert jax.eval_shape(net, net.shapes(), x, jnp.zeros(2), cond).shape == x.shape


def test_smoothed_copies_have_the_response_of_splines():
    """A cubic B-spline with holes of 2^l cells multiplies a wave of angular wavenumber w by cos(2^l w / 2)^4."""
    w, n = 0.3, 96
    wave = jnp.cos(w * jnp.arange(n))
    x = (wave[:, None] * wave[None])[None, :, :, None] * jnp.array([1.0, 2.0])
    out = smoothed(x, 4)
    assert out.shape == (1, n, n, 4, 2)
    middle, factor = slice(24, 72), 1.0
    for level in range(4):
        np.testing.assert_allclose(out[0, middle, middle, level], factor**2 * x[0, middle, middle], atol=5e-6)
        factor *= np.cos(2**level * w / 2) ** 4
    np.testing.assert_allclose(smoothed(jnp.ones((1, 5, 1, 1)), 4), 1, rtol=1e-6)  # borders and lines of cells


def test_a_smooth_output_is_the_spline_of_the_networks_own():
    """The spline takes waves of two cells away, of which the patches of random weights make many."""
    sizes, out = replace(SIZES, frame=(0, 0), latent=4, boundary=0), {}
    cond = replace(conditioning(sizes)[1], latent=draw(4, 2, 4))
    for smooth in (False, True):
        net = gnn.Net(LamUNet(base=4, multipliers=(1,), blocks=1, embedder=4, embedding=8, smooth=smooth), (sizes,))
        leaves, tree = jax.tree.flatten(net.shapes())
        params = jax.tree.unflatten(tree, [draw(i, *leaf.shape) for i, leaf in enumerate(leaves)])
        out[smooth] = np.asarray(jax.jit(net)(params, None, None, cond))
    np.testing.assert_allclose(out[True], smoothed(out[False], 2)[..., 1, :], atol=1e-4)
    two_cells = (-1.0) ** np.add.outer(np.arange(9), np.zeros(11))[None, ..., None]
    np.testing.assert_allclose(smoothed(jnp.asarray(two_cells), 2)[0, 2:-2, :, 1], 0, atol=1e-6)
