"""Graphs of discrete variables, against sums over all their values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.errors import UsageError
from genkit.smc import PairwiseGraph, Resample, belief_propagation, graph_model
from genkit.testing import ising_log_z, ising_torus

KEY = jax.random.key(0)


@jax.jit
def ends(keys, model, slots):
    def one(key):
        return run(key, start(key, model, slots.shape[0]), model.stages, Resample())[0]

    return jax.vmap(one)(keys)


def log_z(graph, messages, n, runs):
    return np.asarray(ends(jax.random.split(KEY, runs), graph_model(graph, messages), jnp.arange(n)).log_z, np.float64)


def unbiased(estimates, exact):
    ratio = np.exp(estimates - exact)
    return abs(ratio.mean() - 1) < 4 * ratio.std() / len(ratio) ** 0.5


def enumerated(graph):
    """All values, and their probabilities times Z."""
    v, k = graph.unary.shape
    x = np.array(list(itertools.product(range(k), repeat=v)))
    return x, np.exp(np.asarray(graph.log_prob(x), np.float64))


def test_one_particle_is_exact_on_a_tree():
    """Chain of 20 spins in random fields, from its begin and from its middle; edges either way round."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        field, s = rng.normal(size=20), np.array([-1.0, 1.0])
        pair = 0.7 * np.outer(s, s)
        forward = field[0] * s
        for h in field[1:]:
            forward = jax.nn.logsumexp(forward[:, None] + pair, axis=0) + h * s
        exact = jax.nn.logsumexp(forward)
        for place in (np.arange(20), np.array([*range(19, 9, -1), *range(10)])):  # in the order, of each spin
            edges = tuple((int(a), int(b)) for a, b in zip(place[:-1], place[1:], strict=True))
            graph = PairwiseGraph(field[np.argsort(place)][:, None] * s, np.tile(pair, (19, 1, 1)), edges)
            messages = belief_propagation(graph, tolerance=1e-12)
            assert messages.change < 1e-12
            np.testing.assert_allclose(log_z(graph, messages, 1, 3), exact, rtol=0, atol=1e-10)
        assert log_z(graph, None, 1, 3).std() > 0.01


@pytest.mark.parametrize(
    "side, coupling, magnetic, exact",
    [(3, 0.3, 0.0, 7.346915902870), (4, 0.44, 0.0, 15.504726538718), (4, 0.44, 0.1, 16.278788118288)],
)
def test_evidence_of_a_torus_is_unbiased(side, coupling, magnetic, exact):
    graph = ising_torus(side, side, coupling, magnetic)
    twisted = log_z(graph, belief_propagation(graph), 16, 2000)
    plain = log_z(graph, None, 16, 2000)
    assert unbiased(twisted, exact) and unbiased(plain, exact)
    if magnetic:  # without a field the messages of a symmetric graph say nothing
        assert twisted.std() < 0.8 * plain.std()


@pytest.mark.parametrize(
    "side, coupling, exact", [(4, 0.44, 15.504726538718), (8, 0.3, 50.609330498185), (16, 0.44, 238.387247204240)]
)
def test_exact_partition_function(side, coupling, exact):
    np.testing.assert_allclose(ising_log_z(side, side, coupling), exact, rtol=1e-13)


def test_three_values_and_excluded_pairs():
    """A graph with loops, of which a pair of values is excluded: evidence and marginals."""
    rng = np.random.default_rng(1)
    edges = ((0, 1), (2, 1), (2, 3), (3, 0), (0, 2))
    pair = rng.normal(size=(5, 3, 3))
    pair[1, 0, 2] = -np.inf
    graph = PairwiseGraph(rng.normal(size=(4, 3)), pair, edges)
    x, p = enumerated(graph)
    state = ends(jax.random.split(KEY, 500), graph_model(graph, belief_propagation(graph)), jnp.arange(64))
    assert unbiased(np.asarray(state.log_z, np.float64), np.log(p.sum()))
    values = np.asarray(state.p.x)
    weights = np.exp(np.asarray(state.log_w + state.log_z[:, None], np.float64)) / p.sum()
    for v, k in itertools.product(range(4), range(3)):
        share = (weights * (values[..., v] == k)).sum(1)
        assert abs(share.mean() - p[x[:, v] == k].sum() / p.sum()) < 4.5 * share.std() / 500**0.5
    assert not ((values[..., 2] == 0) & (values[..., 1] == 2) & (weights > 0)).any()


def test_beginning_breaks_a_symmetry():
    graph = ising_torus(4, 4, 0.6)
    symmetric, broken = belief_propagation(graph), belief_propagation(graph, begin=np.tile([0, 0.1], (16, 1)))
    np.testing.assert_allclose(symmetric.forward, np.log(0.5), atol=1e-6)
    assert broken.forward[0, 1] - broken.forward[0, 0] > 0.5 and broken.change < 1e-5


def test_errors():
    with pytest.raises(UsageError, match=r"pair has shape \(1, 2, 2\); expected \(2, 2, 2\), one per edge"):
        PairwiseGraph(np.zeros((3, 2)), np.zeros((1, 2, 2)), ((0, 1), (1, 2)))
    with pytest.raises(UsageError, match=r"edge \(1, 3\) is no pair of two variables of 0..2"):
        PairwiseGraph(np.zeros((3, 2)), np.zeros((1, 2, 2)), ((1, 3),))
