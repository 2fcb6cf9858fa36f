"""Message passing: closed forms, gradients, types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit.nn as gnn
from genkit.errors import UsageError
from genkit_weather.graphs import Edges, InteractionNet, ParallelInteractionNet, aggregate, at_senders, messages
from genkit_weather.graphs.messages import averaged, normalise

SENDERS, RECEIVERS, E, H = 7, 5, 20, 4


def edges(seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(SENDERS * (RECEIVERS - 1))[:E]  # the last receiver has no edges
    return Edges.build(pairs % SENDERS, pairs // SENDERS, rng.normal(size=(E, 3)), (SENDERS, RECEIVERS))


def normal(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_edges_are_sorted_and_their_features_follow():
    senders, receivers = np.array([2, 0, 1, 2]), np.array([1, 1, 0, 0])
    made = Edges.build(senders, receivers, np.stack([senders, receivers], 1), (3, 4))
    assert list(made.receivers) == [0, 0, 1, 1] and list(made.senders) == [1, 2, 0, 2]
    np.testing.assert_array_equal(made.features, np.stack([made.senders, made.receivers], 1))
    assert list(made.degree) == [2, 2, 1, 1] and len(made) == 4
    with pytest.raises(UsageError, match="receiver 0 or 4"):
        Edges.build([0, 1], [0, 4], np.zeros((2, 1)), (2, 4))


def test_gathers_and_sums_have_the_gradients_of_dense_matrices():
    e = edges()
    take = np.zeros((E, SENDERS))
    take[np.arange(E), e.senders] = 1
    add = np.zeros((RECEIVERS, E))
    add[e.receivers, np.arange(E)] = 1
    h, g = normal(SENDERS, 2, H), normal(RECEIVERS, 2, H, seed=2)
    sparse = lambda h: aggregate(jnp.sin(at_senders(h, e)), e)  # noqa: E731
    dense = lambda h: jnp.einsum("re,enh->rnh", add, jnp.sin(jnp.einsum("es,snh->enh", take, h)))  # noqa: E731
    for f, reference in ((sparse, dense),):
        out, back = jax.vjp(f, h)
        expected, expected_back = jax.vjp(reference, h)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(back(g)[0], expected_back(g)[0], rtol=1e-5, atol=1e-6)
    text = jax.jit(jax.grad(lambda h: sparse(h).sum())).lower(h).as_text()
    assert "indices_are_sorted = true" in text and "indices_are_sorted = false" not in text.split("scatter")[-1]
    mean = averaged(aggregate(jnp.ones((E, 1, 1)), e), e)[:, 0, 0]
    np.testing.assert_allclose(mean, [1, 1, 1, 1, 0])


def test_sums_of_bfloat16_are_exact_to_its_last_digit():
    many = Edges.build(np.zeros(2000, int), np.zeros(2000, int), np.zeros((2000, 1)), (1, 1))
    total = aggregate(jnp.full((2000, 1, 1), 1.0, jnp.bfloat16), many)
    assert total.dtype == jnp.bfloat16 and float(total[0, 0, 0]) == 2000  # a sum in bfloat16 stops at 256


def net(**options):
    return InteractionNet(H, **options, rngs=nnx.Rngs(0))


def silence(module):
    """Last linear layers and norms of all perceptrons to zero."""
    for mlp in (module.edge_mlp, module.aggr_mlp):
        for parameter in (mlp.layers[-1].kernel, mlp.layers[-1].bias, mlp.norm.scale, mlp.norm.bias):
            parameter[...] = 0 * parameter[...]
    return module


def test_normalised_rows_and_their_gradient():
    x, weight = 3 + 2 * normal(6, 2, H), normal(6, 2, H, seed=2)

    def plain(x):
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)

    def both(f):
        return jax.value_and_grad(lambda x: (f(x) * weight).sum())(x)

    for a, b in zip(both(lambda x: normalise(x, 1e-5)), both(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_layers_that_say_nothing():
    e, s, r, state = edges(), normal(SENDERS, 2, H), normal(RECEIVERS, 2, H, seed=2), normal(E, 2, H, seed=3)
    out, new = silence(net())(e, state, s, r)
    np.testing.assert_array_equal(out, r)
    np.testing.assert_array_equal(new, state)
    out, new = silence(net(propagate=True))(e, state, s, r)
    for i in range(RECEIVERS - 1):
        np.testing.assert_allclose(out[i], s[e.senders[e.receivers == i]].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[-1], 0)
    np.testing.assert_allclose(new, state + at_senders(s, e), rtol=1e-6)


def test_the_split_first_layer_is_the_layer_of_the_concatenation():
    e, module = edges(), net()
    s, r, state = normal(SENDERS, 2, H), normal(RECEIVERS, 2, H, seed=2), normal(E, 1, H, seed=3)
    inputs = [jnp.broadcast_to(state, (E, 2, H)), s[e.senders], r[e.receivers]]
    m = module.edge_mlp(jnp.concatenate(inputs, -1))
    a = jnp.zeros((RECEIVERS, 2, H)).at[e.receivers].add(m)
    expected = r + module.aggr_mlp(jnp.concatenate([r, a], -1))
    out, new = module(e, state, s, r)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(new, state + m, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(module.receive(e, module.project(state), s, r), out, rtol=1e-6, atol=1e-6)


def test_outputs_move_with_the_nodes_and_batches_do_not_mix():
    e, module, rng = edges(), net(), np.random.default_rng(5)
    s, r, state = normal(SENDERS, 3, H), normal(RECEIVERS, 3, H, seed=2), normal(E, 1, H, seed=3)
    out, _ = module(e, state, s, r)
    ps, pr = rng.permutation(SENDERS), rng.permutation(RECEIVERS)
    number = jnp.arange(E)[:, None]  # features that follow the edges' new order
    moved = Edges.build(ps[e.senders], pr[e.receivers], number, (SENDERS, RECEIVERS))
    order = np.asarray(moved.features[:, 0], int)
    out2, _ = module(moved, state[order], s[np.argsort(ps)], r[np.argsort(pr)])
    np.testing.assert_allclose(out2[pr], out, rtol=1e-4, atol=1e-5)
    alone, _ = module(e, state, s[:, 1:2], r[:, 1:2])
    np.testing.assert_allclose(alone, out[:, 1:2], rtol=1e-5, atol=1e-6)


def test_one_set_of_edges_in_parallel_is_an_interaction_network():
    e = Edges.build([0, 1, 2, 3], [1, 2, 3, 0], np.zeros((4, 1)), (4, 4))
    both = ParallelInteractionNet(H, ((0, 0),), 1, rngs=nnx.Rngs(0))
    one = net()
    one.edge_mlp, one.aggr_mlp = both.edge_mlp[0], both.aggr_mlp[0]
    h, state = normal(4, 2, H), normal(4, 2, H, seed=3)
    nodes, states = both((e,), [state], [h])
    out, new = one(e, state, h, h)
    np.testing.assert_allclose(nodes[0], out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(states[0], new, rtol=1e-5, atol=1e-6)


def test_parameters_of_a_layer():
    wide = InteractionNet(64, rngs=nnx.Rngs(0))
    assert gnn.parameter_count(gnn.functional(wide)[1]) == 29184


@pytest.mark.parametrize(
    "n, kind, dtype", [(1, "interact", "float32"), (2, "propagate", "float32"), (2, "parallel", "bfloat16")]
)
def test_gradients_in_blocks_are_those_of_all_edges(n, kind, dtype, monkeypatch):
    e, options = edges(), {"arithmetic": gnn.Arithmetic(dtype=dtype), "rngs": nnx.Rngs(0)}
    inputs = [
        x.astype(dtype) for x in (normal(E, n, H, seed=3), normal(SENDERS, 2, H), normal(RECEIVERS, 2, H, seed=2))
    ]
    if kind == "parallel":
        apply, params = gnn.functional(ParallelInteractionNet(H, ((0, 1), (0, 1)), 2, **options))
        call = lambda params, state, s, r: apply(params, (e, e), [state, state], [s, r])  # noqa: E731
    else:
        apply, params = gnn.functional(InteractionNet(H, propagate=kind == "propagate", **options))
        call = lambda params, *inputs: apply(params, e, *inputs)[: 3 - n]  # noqa: E731  (without new edges, or with)

    def loss(*inputs):
        return sum(jnp.sin(3 * x.astype(jnp.float32)).sum() for x in jax.tree.leaves(call(*inputs)))

    def gradients(blocks):
        monkeypatch.setattr(messages, "BLOCK", E * 2 * H * jnp.dtype(dtype).itemsize // blocks)
        f = jax.value_and_grad(jax.checkpoint(lambda *inputs: loss(*inputs)), (0, 1, 2, 3))
        return "scan[" in str(jax.make_jaxpr(f)(params, *inputs)), jax.jit(f)(params, *inputs)

    (looped, whole), (again, found) = gradients(1), gradients(3)  # of 7 edges, the last with one of the second again
    assert again and not looped
    for a, b in zip(*map(jax.tree.leaves, (found, whole)), strict=True):
        assert a.dtype == b.dtype
        error = jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).max() / jnp.abs(b).max()
        assert error < (1e-5 if dtype == "float32" else 2e-2)


def test_parts_of_other_shapes_or_types_are_taken_whole(monkeypatch):
    """Nodes that are broadcast over a batch, and states that pass in float32 beside others in bfloat16."""
    monkeypatch.setattr(messages, "BLOCK", 1)
    e, state, s, r = edges(), normal(E, 1, H), normal(SENDERS, 1, H), normal(RECEIVERS, 2, H)
    for options in ({}, {"propagate": True, "arithmetic": gnn.Arithmetic(dtype="bfloat16")}):
        apply, params = gnn.functional(InteractionNet(H, rngs=nnx.Rngs(0), **options))
        gradient = jax.jit(jax.grad(lambda s, apply=apply, params=params: apply(params, e, state, s, r)[0].sum()))(s)
        assert gradient.shape == s.shape and jnp.isfinite(gradient).all()
