"""The U-Net: sizes, parameter count, symmetries, options."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit.nn as gnn
from genkit.nn.unet import ResidualBlock

SMALL = gnn.UNet(base=4, multipliers=(1, 2), blocks=1, bottleneck_attention=False, dropout=0.0)


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def lively(module, seed=0):
    """A pure function with all weights random, the near-zero ones included."""
    apply, params = gnn.functional(module)
    leaves, tree = jax.tree.flatten(params)
    leaves = [0.3 * draw((seed, i), *leaf.shape) for i, leaf in enumerate(leaves)]
    return jax.jit(apply), jax.tree.unflatten(tree, leaves)


def test_level_sizes_are_even_where_they_are_halved():
    published = [(268, 238), (134, 120), (68, 60), (34, 30)]
    assert gnn.level_sizes((268, 238), 4) == published
    assert gnn.level_sizes((33, 49), 2, patch=2) == [(18, 26), (9, 13)]
    assert gnn.level_sizes((1, 40), 3) == [(1, 40), (1, 20), (1, 10)]


def count(config, inputs, outputs, embedding):
    """Parameters by hand: convolutions, norms, embeddings of each block."""

    def conv(a, b, k=9):
        return k * a * b + b

    def block(a, b, attention=False):
        own = 2 * a + conv(a, b) + (embedding + 1) * b + 2 * b + conv(b, b) + (conv(a, b, 1) if a != b else 0)
        return own + (2 * b + conv(b, 3 * b, 1) + conv(b, b, 1) if attention else 0)

    widths = [config.base * m for m in config.multipliers]
    cells, n, total = config.patch**2, config.blocks, 0
    skips, now = [config.base], config.base
    total += conv(inputs * cells, now)
    for level, width in enumerate(widths):
        if level:
            total += block(now, now)
            skips.append(now)
        for _ in range(n):
            total += block(now, width, level in config.attention)
            now = width
            skips.append(now)
    total += block(now, now, config.bottleneck_attention) + block(now, now)
    for level in reversed(range(len(widths))):
        for i in range(n + 1):
            total += block(now + skips.pop(), widths[level], level in config.attention and i == n)
            now = widths[level]
        total += block(now, now) if level else 0
    return total + 2 * now + conv(now, outputs * cells)


@pytest.mark.parametrize(
    "config",
    [
        gnn.UNet(base=8, multipliers=(1, 2, 2), blocks=2, attention=(1,), patch=2),
        gnn.UNet(base=128, multipliers=(1, 2, 2, 2), blocks=4),
    ],
)
def test_parameter_count(config):
    _, params = gnn.abstract(lambda rngs: config.build(rngs, 5, 3, (64, 64), 16))
    assert gnn.parameter_count(params) == count(config, 5, 3, 16)


def test_published_size_by_abstract_evaluation():
    config = gnn.UNet(base=128, multipliers=(1, 2, 2, 2), blocks=4, remat=True)
    apply, params = gnn.abstract(lambda rngs: config.build(rngs, 128, 17, (268, 238), 512))
    x, emb = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 268, 238, 128), (2, 512)))
    assert jax.eval_shape(apply, params, x, emb).shape == (2, 268, 238, 17)


def test_starts_near_zero_and_blocks_start_as_scaled_identities():
    module = SMALL.build(nnx.Rngs(0), 3, 2, (8, 8), 4)
    x, emb = draw(0, 2, 8, 8, 3), draw(1, 2, 4)
    apply, params = gnn.functional(module)
    assert float(jnp.abs(jax.jit(apply)(params, x, emb)).max()) < 1e-3
    block, h = module.middle[1], draw(2, 2, 4, 4, 8)
    np.testing.assert_allclose(block(h, emb), h * np.sqrt(0.5), atol=1e-3)


@pytest.mark.parametrize(("size", "patch"), [((7, 9), 1), ((5, 6), 2), ((1, 11), 1)])
def test_any_size(size, patch):
    apply, params = lively(replace(SMALL, patch=patch, multipliers=(1, 1, 2)).build(nnx.Rngs(0), 3, 2, size, 4))
    out = apply(params, draw(0, 2, *size, 3), draw(1, 1, 4))
    assert out.shape == (2, *size, 2)
    assert bool(jnp.isfinite(out).all())


def test_periodic_axes_are_equivariant_and_others_are_not():
    config = replace(SMALL, padding=("zero", "circular"), patch=2)
    apply, params = lively(config.build(nnx.Rngs(0), 3, 2, (8, 16), 4))
    x, emb = draw(0, 1, 8, 16, 3), draw(1, 1, 4)
    out = apply(params, x, emb)
    np.testing.assert_allclose(apply(params, jnp.roll(x, 4, 2), emb), jnp.roll(out, 4, 2), atol=1e-3)
    assert not np.allclose(apply(params, jnp.roll(x, 4, 1), emb), jnp.roll(out, 4, 1), atol=1e-2)


def test_remat_changes_nothing_and_dropout_follows_its_key():
    config = replace(SMALL, multipliers=(1,), dropout=0.2)
    apply, params = lively(config.build(nnx.Rngs(0), 3, 2, (4, 4), 4))
    again, _ = gnn.abstract(lambda rngs: replace(config, remat=True).build(rngs, 3, 2, (4, 4), 4))
    x, emb, key = draw(0, 2, 4, 4, 3), draw(1, 2, 4), jax.random.key(0)

    def gradient(f):
        return jax.jit(jax.grad(lambda p, key: jnp.square(f(p, x, emb, key)).mean()))

    plain, saving = gradient(apply), gradient(again)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), plain(params, key), saving(params, key)
    )
    other = plain(params, jax.random.key(1))
    assert not all(np.allclose(a, b) for a, b in zip(*map(jax.tree.leaves, (plain(params, key), other)), strict=True))


def test_bfloat16_keeps_float32_parameters():
    apply, params = lively(replace(SMALL, dtype="bfloat16").build(nnx.Rngs(0), 3, 2, (8, 8), 4))
    full, _ = gnn.abstract(lambda rngs: SMALL.build(rngs, 3, 2, (8, 8), 4))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    x, emb = draw(0, 2, 8, 8, 3), draw(1, 2, 4)
    low, high = apply(params, x, emb), full(params, x, emb)
    assert low.dtype == jnp.bfloat16
    assert float(jnp.abs(low.astype(jnp.float32) - high).mean() / jnp.abs(high).mean()) < 0.05


def test_memory_estimate_against_the_compiler():
    config = gnn.UNet(
        base=16, multipliers=(1, 2), blocks=1, bottleneck_attention=False, dropout=0.0, padding=("zero", "zero")
    )
    apply, params = gnn.abstract(lambda rngs: config.build(rngs, 4, 4, (64, 64), 8))
    x, emb = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((4, 64, 64, 4), (4, 8)))

    def loss(params, x, emb):
        return jnp.square(apply(params, x, emb)).mean()

    for training, f in ((False, loss), (True, jax.grad(loss))):
        used = jax.jit(f).lower(params, x, emb).compile().memory_analysis().temp_size_in_bytes / 4
        assert 0.5 < gnn.activation_bytes(config, (64, 64), training) / used < 2, (training, used)


def test_a_noisy_unet_sees_the_noise_and_drops_where_a_key_is_given():
    config = replace(gnn.NoisyUNet.preset("tiny"), base=4, dropout=0.5)
    apply, params = lively(config.build(nnx.Rngs(0), (4, 6, 3)))
    x, c_noise = draw(0, 2, 4, 6, 3), draw(1, 2)
    out = apply(params, x, c_noise)
    assert out.shape == x.shape
    assert not np.allclose(out, apply(params, x, c_noise + 1))
    assert not np.allclose(out, apply(params, x, c_noise, jax.random.key(0)))
    np.testing.assert_array_equal(out, apply(params, x, c_noise, None))


def test_filters_of_images_halve_and_double_as_ncsnpp():
    """[1, 3, 3, 1] / 8 at every other cell; doubling is its transpose times 2 an axis."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 8, 3)), jnp.float32)
    taps = (1, 3, 3, 1)
    ring = ("circular", "circular")

    def halved(a, axis):
        return sum(t / 8 * np.roll(a, 1 - k, axis) for k, t in enumerate(taps)).take(range(0, a.shape[axis], 2), axis)

    expected = halved(halved(np.asarray(x), 1), 2)
    np.testing.assert_allclose(gnn.downsample(x, taps, ring), expected, atol=1e-6)
    y = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 4, 3)), jnp.float32)
    doubled = gnn.upsample(y, (6, 8), taps, ring)
    one, two = (gnn.downsample(x, taps, ring) * y).sum(), (x * doubled).sum()
    assert float(two) == pytest.approx(4 * float(one), rel=1e-4)
    np.testing.assert_allclose(
        gnn.upsample(jnp.ones((1, 3, 4, 1)), (6, 8), taps, ("replicate", "replicate")), 1, rtol=1e-6
    )
    inner = gnn.downsample(jnp.ones((1, 6, 8, 1)), taps)  # zeros beyond the border
    np.testing.assert_allclose(inner[0, 0, 1:-1, 0], 7 / 8, rtol=1e-6)
    longer = (1, 5, 10, 10, 5, 1)
    one, two = (gnn.downsample(x, longer, ring) * y).sum(), (x * gnn.upsample(y, (6, 8), longer, ring)).sum()
    assert float(two) == pytest.approx(4 * float(one), rel=1e-4)


def test_an_encoder_that_sees_the_image_at_each_level():
    """The convolved and halved image enters, and blocks that halve have a convolution in their skip."""
    residual = gnn.UNet(base=8, multipliers=(1, 1), blocks=1, encoder="residual", resample_skip=True, dropout=0.0)
    module = residual.build(nnx.Rngs(0), 3, 2, (8, 8), 4)
    x, emb = jnp.asarray(np.random.default_rng(0).standard_normal((1, 8, 8, 3)), jnp.float32), jnp.ones((1, 4))
    before = module(x, emb)
    conv = module.images[0].conv
    conv.kernel, conv.bias = nnx.Param(0 * conv.kernel[...]), nnx.Param(0 * conv.bias[...])
    without = module(x, emb)
    assert float(jnp.abs(before - without).max()) > 0
    conv.bias = nnx.Param(conv.bias[...] + 1)
    assert float(jnp.abs(module(x, emb) - without).max()) > 0
    assert sum(block.skip is not None for block in module.encoder) == 1  # the one that halves


def test_an_embedding_that_scales_and_shifts_a_norm():
    """Scale 0 and shift 0 leave the block as it is without an embedding; scale -1 leaves the shift alone."""
    x, emb = draw(0, 1, 6, 6, 8), jnp.ones((1, 3))
    blocks = {}
    for adaptive in (False, True):
        config = replace(SMALL, adaptive_scale=adaptive)
        module = ResidualBlock(8, 8, 3, config=config, kernel=(3, 3), rngs=nnx.Rngs(0))
        blocks[adaptive] = gnn.functional(module)
    (plain, params), (adaptive, _) = blocks[False], blocks[True]
    kernel = draw(1, 3, 3, 8, 8)
    params = {**params, "conv2": {"conv": {"kernel": kernel, "bias": jnp.zeros(8)}}}
    none = {"kernel": jnp.zeros((3, 8)), "bias": jnp.zeros(8)}
    wide = {"kernel": jnp.zeros((3, 16)), "bias": jnp.zeros(16)}
    reference = plain({**params, "emb": none}, x, emb)
    np.testing.assert_allclose(adaptive({**params, "emb": wide}, x, emb), reference, atol=1e-5)
    shift = np.linspace(-1, 1, 8, dtype=np.float32)
    told = {**wide, "bias": jnp.concatenate([-jnp.ones(8), shift])}
    inner = np.einsum("yxab,a->b", kernel, shift / (1 + np.exp(-shift)))  # all nine taps see silu(shift)
    found = np.asarray(adaptive({**params, "emb": told}, x, emb))[0, 1:-1, 1:-1]
    np.testing.assert_allclose(found, (inner + np.asarray(x)[0, 1:-1, 1:-1]) * 0.5**0.5, atol=1e-5)
