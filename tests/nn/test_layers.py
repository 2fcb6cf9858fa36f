"""Layers against their formulas."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.errors import TraceContextError

import genkit.nn as gnn
from genkit.diffusion import EDMDenoiser
from genkit.errors import UsageError


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(("channels", "groups"), [(8, 2), (32, 8), (256, 32), (6, 1), (10, 2)])
def test_group_norm(channels, groups):
    norm = gnn.GroupNorm(channels)
    norm.scale = nnx.Param(draw(1, channels))
    norm.shift = nnx.Param(draw(2, channels))
    assert norm.groups == groups
    x = np.asarray(3 + 2 * draw(0, 2, 3, 5, channels), np.float64)
    grouped = x.reshape(2, 15, groups, -1)
    mean, var = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(var + 1e-6)).reshape(x.shape) * norm.scale[...] + norm.shift[...]
    np.testing.assert_allclose(norm(jnp.asarray(x, jnp.float32)), expected, atol=2e-5)


def test_conditional_norm_scales_by_the_linear_map_itself():
    norm = gnn.ConditionalNorm(4, 3, rngs=nnx.Rngs(0))
    x, emb = draw(0, 2, 5, 4), draw(1, 2, 3)
    plain = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    affine = emb @ norm.affine.kernel[...] + jnp.array([1.0] * 4 + [0.0] * 4)
    np.testing.assert_allclose(norm(x, emb), plain * affine[:, None, :4] + affine[:, None, 4:], atol=1e-5)


def test_mlp():
    mlp = gnn.MLP((3, 5, 2), rngs=nnx.Rngs(0))
    x = draw(0, 7, 3)
    hidden = x @ mlp.layers[0].kernel[...]
    expected = (hidden / (1 + jnp.exp(-hidden))) @ mlp.layers[1].kernel[...]
    np.testing.assert_allclose(mlp(x), expected, atol=1e-5)


def test_xavier_variance_seed_and_tracing():
    init = gnn.xavier_uniform(0.5)
    w = init(jax.random.key(0), (3, 3, 40, 60))
    bound = 0.5 * np.sqrt(6 / (9 * 100))
    assert abs(float(w.std()) * np.sqrt(3) / bound - 1) < 0.02
    assert float(jnp.abs(w).max()) <= bound
    np.testing.assert_array_equal(w, init(jax.random.key(0), (3, 3, 40, 60)))
    assert not np.allclose(w, init(jax.random.key(1), (3, 3, 40, 60)))
    traced = jax.jit(lambda key: init(key, (3, 3, 40, 60)))(jax.random.key(0))
    assert abs(float(traced.std()) * np.sqrt(3) / bound - 1) < 0.02


def test_sinusoids_and_frequencies():
    frequencies = gnn.positional_frequencies(4)
    np.testing.assert_allclose(frequencies, [1.0, 0.01])
    out = gnn.sinusoids(jnp.array([0.0, 2.0]), frequencies)
    np.testing.assert_allclose(out[0], [1, 1, 0, 0])
    np.testing.assert_allclose(out[1], [np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)], rtol=1e-5)
    assert gnn.fourier_frequencies(4000).std() == pytest.approx(16, rel=0.05)


@pytest.mark.parametrize("kind", ["fourier", "positional"])
def test_scalar_embedding_takes_scalars_and_vectors(kind):
    embed = gnn.ScalarEmbedding(6, features=8, kind=kind, rngs=nnx.Rngs(0))
    t = jnp.array([-1.0, 0.3])
    assert embed(t).shape == (2, 6)
    np.testing.assert_allclose(embed(t[1]), embed(t)[1:], atol=1e-6)
    assert not np.allclose(embed(t)[0], embed(t)[1])


def test_attention_formula():
    layer = gnn.SelfAttention(8, heads=2, rngs=nnx.Rngs(0))
    layer.out.kernel = nnx.Param(draw(3, 8, 8))
    x = draw(0, 2, 3, 4, 8)
    tokens = np.asarray(layer.norm(x)).reshape(2, 12, 8)
    q, k, v = np.split(tokens @ np.asarray(layer.qkv.kernel[...]), 3, -1)
    mixed = np.zeros((2, 12, 8))
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        for n in range(2):
            scores = q[n, :, part] @ k[n, :, part].T / 2
            weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            mixed[n, :, part] = weights @ v[n, :, part]
    expected = np.asarray(x) + (mixed @ np.asarray(layer.out.kernel[...])).reshape(x.shape)
    np.testing.assert_allclose(layer(x), expected, atol=1e-4)


def test_dropout_keeps_the_expectation():
    x = jnp.ones(100_000)
    out = gnn.dropout(x, 0.3, jax.random.key(0))
    assert float((out == 0).mean()) == pytest.approx(0.3, abs=0.01)
    assert float(out.max()) == pytest.approx(1 / 0.7, rel=1e-4)
    assert gnn.dropout(x, 0.3, None) is x
    assert gnn.dropout(x, 0.0, jax.random.key(0)) is x


def test_functional_is_a_hashable_static_function():
    def build(seed):
        return gnn.functional(gnn.MLP((3, 5, 2), rngs=nnx.Rngs(seed)))

    (apply, params), (other, _) = build(0), build(1)
    assert apply == other and hash(apply) == hash(other)
    assert gnn.parameter_count(params) == 3 * 5 + 5 + 5 * 2 + 2
    assert apply(params, draw(0, 7, 3)).shape == (7, 2)
    shapes = gnn.abstract(lambda rngs: gnn.MLP((3, 5, 2), rngs=rngs))[1]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)


def test_networks_built_under_jit_have_the_parameters_of_nnx():
    kinds = (nnx.Rngs, gnn.traced_rngs)
    build = jax.jit(lambda: [gnn.functional(gnn.MLP((3, 5, 2), rngs=rngs(0)))[1] for rngs in kinds])
    jax.tree.map(np.testing.assert_array_equal, *build())


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_traced_rngs_draw_the_keys_of_nnx(impl):
    """Beyond the first keys that are made, before and after a fork, and split over the copies of a layer."""

    def draw_all(kind):
        rngs = kind(jax.random.key(7, impl=impl))
        first = [rngs.params() for _ in range(70)]
        forked = rngs.dropout.fork()
        with nnx.split_rngs(rngs, splits=2):
            copies = nnx.vmap(lambda rngs: rngs.params(), in_axes=0)(rngs)
        keys = [*first, forked(), forked(), *copies, *(rngs() for _ in range(70))]
        return [jax.random.key_data(key) for key in keys]

    ours, flax = draw_all(gnn.traced_rngs), draw_all(nnx.Rngs)
    np.testing.assert_array_equal(np.stack(ours), np.stack(flax))
    assert len(np.unique(np.stack(ours), axis=0)) == 144


def test_the_keys_of_networks_that_are_built_outside_jit_share_a_program(caplog):
    rngs = gnn.traced_rngs(0)
    for _ in range(130):  # beyond those that other tests draw
        rngs.params()
    with jax.log_compiles():
        for _ in range(2):
            rngs.params()
        assert caplog.records == []
        jax.jit(lambda key: jax.random.split(key, 131))(rngs.params())
        assert caplog.records  # which would tell


def test_own_networks_with_dropout():
    def build(rngs):
        return nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))

    one, two = (gnn.functional(build(kind(0))) for kind in (nnx.Rngs, gnn.traced_rngs))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), one[1], two[1])))
    assert gnn.functional(build(gnn.traced_rngs(0)))[0] == two[0]  # so nothing compiles anew
    assert 0.4 < np.mean(two[0](two[1], np.ones((1000, 3))) == 0) < 0.6


def test_the_hash_of_a_networks_keys_is_written_out():
    """Compiled for a CPU, a hash is a loop otherwise; streams that a module keeps have keys of JAX's own kind."""

    def build(rngs):
        return nnx.List([nnx.Linear(n, 4, rngs=rngs) for n in (2, 3)]), nnx.Dropout(0.5, rngs=rngs)

    def text(kind):
        return jax.jit(lambda key: nnx.to_pure_dict(nnx.state(build(kind(key))[0]))).lower(jax.random.key(0)).as_text()

    assert "while" not in text(gnn.traced_rngs) and "while" in text(nnx.Rngs)
    kept = build(gnn.traced_rngs(0))[1].rngs
    assert jax.random.key_impl(kept.key.get_value()) == jax.random.key_impl(jax.random.key(0))


def test_keys_are_not_drawn_within_a_transformation():
    rngs = gnn.traced_rngs(0)
    with pytest.raises(TraceContextError):
        jax.jit(lambda: rngs.params())()
    rngs.params()


@dataclass(frozen=True)
class Own:
    """A network of one's own, that does what it is told."""

    built: Callable[..., Any]

    def build(self, *args):
        return self.built(*args)


class Called(nnx.Module):
    def __init__(self, call):
        self.call = call

    def __call__(self, x, c, cond):
        return self.call(x, c, cond)


class Short(nnx.Module):
    def __call__(self, x):
        return x


class Shallow:
    def build(self, rngs):
        raise AssertionError("not called")


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            Own(lambda *args: Short()),
            r"the network Own is called with \(an array \(4, 2\), an array \(4,\), None\) here, ",
        ),
        (Own(lambda *args: lambda x, c, cond: x), "the network Own builds a function; expected a module of flax.nnx"),
        (Shallow(), r"the network Shallow is built with \(Rngs, 2\) here, but takes \(rngs\)"),
        (Own(lambda *args: Called(lambda x, c, cond: x[:, :1])), r"gives an array \(4, 1\) for an array \(4, 2\)"),
        (Own(lambda *args: Called(lambda x, c, cond: (x, c))), r"gives tuple for an array \(4, 2\)"),
    ],
)
def test_own_networks_of_another_use_are_refused_in_a_line(component, message):
    def value():
        net = gnn.Net(component, (2,))
        return EDMDenoiser(net, net.init(jax.random.key(0)))(jnp.ones((4, 2)), 1.0)

    with pytest.raises(UsageError, match=message) as refused:
        jax.eval_shape(value)
    assert "\n" not in str(refused.value)
