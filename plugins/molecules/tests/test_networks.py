"""Networks on graphs: symmetry, sizes, padding, orders of their sites."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genkit.discrete import order_agnostic_loss
from genkit.nn import Net, abstract, functional, parameter_count, transfer
from genkit.testing import check_network
from genkit_molecules.chemistry import BONDS
from genkit_molecules.chemistry.graphs import relabel, sites
from genkit_molecules.chemistry.structure import ATOM, GRAPH, cycles, features
from genkit_molecules.items.denoisers import GraphDenoiser, GraphLogOdds, OrderedGraphDenoiser, real_sites
from genkit_molecules.items.orders import NodeEdgesNode, NodesEdges
from genkit_molecules.networks import ByteNet, GraphTransformer, SequenceMLP, SequenceTransformer

KEY = jax.random.key(0)
SMALL = GraphTransformer(2, dx=16, de=8, dy=4, heads=2, hidden_x=16, hidden_e=12, hidden_y=8, dropout=0.0, time=True,
                         features=True)  # fmt: skip
ELEMENTS = ("C", "N", "O", "F", "S")


def net(kind, head: Any):
    apply, params = functional(SMALL.build(nnx.Rngs(0), ELEMENTS, head))
    return jax.jit(kind(params, apply, len(ELEMENTS)).__call__)


def rows(n, count=6):
    """Partly hidden graphs of five elements."""
    x = np.random.default_rng(0).integers(0, 4, (count, sites(n)))
    return jnp.asarray(np.where(np.random.default_rng(1).random(x.shape) < 0.4, 5, x))


@pytest.mark.parametrize(
    ("network", "head"),
    [
        (SMALL, "generator"),
        (SMALL, "discriminator"),
        (SequenceTransformer(2, 16, 2, 32), "generator"),
        (ByteNet(2, 16, 8, 3, 2), "discriminator"),
        (SequenceMLP(1, 16, 6), "generator"),
    ],
    ids=lambda a: a if isinstance(a, str) else type(a).__name__,
)
def test_arithmetic(network, head):
    rng = np.random.default_rng(0)
    t, mask = jnp.linspace(0.1, 0.9, 3), jnp.asarray(np.arange(4) < [[4], [3], [2]])
    atoms, bonds = (jnp.asarray(rng.integers(0, 4, (3, n))) for n in (4, 6))
    graph = isinstance(network, GraphTransformer)
    kinds, x = (ELEMENTS, (atoms, bonds)) if graph else (5, (atoms,))
    check_network(network, (kinds, head), *x, t, mask)


QM9, MOSES = ("H", "C", "N", "O", "F"), ("C", "N", "S", "O", "F", "Cl", "Br", "H")


def test_published_sizes():
    published: Any = ((7, QM9, "generator", 3.41), (12, MOSES, "generator", 5.74), (7, QM9, "discriminator", 3.64))
    for layers, elements, head, count in published:
        one, two = (parameter_count(abstract(lambda rngs: GraphTransformer(k).build(rngs, elements, head))[1])  # noqa: B023
                    for k in (1, 2))  # fmt: skip
        assert round((one + (layers - 1) * (two - one)) / 1e6, 2) == count


def test_relabelling_atoms():
    generator, discriminator, x = net(GraphDenoiser, "generator"), net(GraphLogOdds, "discriminator"), rows(4)
    t = jnp.linspace(0, 1, 6)
    logits, odds = generator(x, t), discriminator(x, t)
    assert logits.shape == (6, 10, 5) and odds.shape == (6,) and float(odds.std()) > 0
    for g in relabel(4)[[1, 9, 23]]:
        moved = jnp.zeros_like(x).at[:, g].set(x)
        np.testing.assert_allclose(generator(moved, t)[:, g], logits, atol=1e-5)
        np.testing.assert_allclose(discriminator(moved, t), odds, atol=1e-5)
    ordered = net(OrderedGraphDenoiser, "ordered")
    for a, b in zip(ordered(x, t), ordered(moved, t), strict=True):  # values, policy and posterior
        assert a.shape[:2] == (6, 10) and float(a.std()) > 0
        np.testing.assert_allclose(b[:, g], a, atol=1e-5)


def test_atoms_that_are_not_real():
    """Three atoms in the places of four."""
    x, t = rows(3), jnp.linspace(0, 1, 6)
    mask = jnp.arange(4) < 3
    wide = jnp.zeros((6, 10), int).at[:, jnp.array([0, 1, 2, 4, 5, 7])].set(x)
    cond = {"mask": jnp.tile(mask, (6, 1))}
    real = np.asarray(real_sites(cond["mask"]))[0]
    np.testing.assert_array_equal(np.flatnonzero(real), [0, 1, 2, 4, 5, 7])
    for kind, head in ((GraphDenoiser, "generator"), (GraphLogOdds, "discriminator")):
        f = net(kind, head)
        out = f(wide, t, cond)
        np.testing.assert_allclose(out[:, real] if out.ndim > 1 else out, f(x, t), atol=1e-5)


def test_the_default_network_hears_its_condition_before_it_sees_anything():
    """Of eight networks all; one of dy=1 is deaf where its only unit is."""
    network = Net(replace(GraphTransformer.preset("default"), layers=1), (ELEMENTS, "generator", 1, 2))
    hidden = jnp.full((1, 3), len(ELEMENTS)), jnp.full((1, 3), BONDS)

    @jax.jit
    @jax.vmap
    def heard(key):
        params, t = network.init(key), jnp.ones(1)
        yes, no = (network(params, *hidden, t, None, jnp.array([cond]))[0] for cond in ([1.0, 0.0], [0.0, 1.0]))
        return jnp.abs(yes - no).max()

    assert (heard(jax.random.split(KEY, 8)) > 1e-3).all()


def test_gradient_of_the_bound():
    """Of as many graphs as sites every number of hidden sites is drawn once, 1 to D."""
    apply, params = functional(SMALL.build(nnx.Rngs(0), ELEMENTS))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 4, (6, 6)))

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        return order_agnostic_loss(KEY, GraphDenoiser(params, apply, len(ELEMENTS)), x, None, 5)

    value, gradient = loss(params)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))


def test_a_discriminator_starts_as_the_generator():
    heads: Any = ((0, "generator"), (1, "discriminator"))
    one, other = (functional(SMALL.build(nnx.Rngs(k), ELEMENTS, h))[1] for k, h in heads)
    made = transfer(one, other)
    np.testing.assert_array_equal(made["layers"][0]["q"]["kernel"], one["layers"][0]["q"]["kernel"])
    np.testing.assert_array_equal(made["in_x"]["first"]["kernel"], one["in_x"]["first"]["kernel"])
    np.testing.assert_array_equal(made["last"]["second"]["kernel"], other["last"]["second"]["kernel"])
    assert made["out_e"]["second"]["kernel"].shape == other["out_e"]["second"]["kernel"].shape == (12, 12)


@pytest.mark.parametrize("orders", [NodesEdges(), NodeEdgesNode()])
def test_orders_of_graphs(orders):
    """Four atoms, the second of which is not real."""
    real = np.asarray(real_sites(jnp.array([[True, False, True, True]])))[0]
    seen = set()
    for key in jax.random.split(KEY, 40):
        order = np.asarray(orders.draw(key, jnp.asarray(real)))
        assert sorted(order) == list(range(10)) and real[order[:6]].all()
        labels = np.asarray(orders.labels(jnp.asarray(real)))[:6]
        atom = order[:6] < 4
        if isinstance(orders, NodesEdges):
            assert atom.tolist() == [True] * 3 + [False] * 3
        else:
            assert atom.tolist() == [True, True, False, True, False, False]
        np.testing.assert_array_equal(labels == 0, atom)
        seen.add(tuple(order[:6]))
    assert len(seen) > 10


def count_cycles(a, length):
    """Cycles of a length in one graph, by enumeration."""
    n = len(a)

    def walk(path):
        if len(path) == length:
            return int(a[path[-1], path[0]])
        return sum(walk([*path, v]) for v in range(path[0] + 1, n) if v not in path and a[path[-1], v])

    return sum(walk([v]) for v in range(n)) // 2


def test_structure_of_graphs():
    """Counts of cycles by enumeration; components and valences by hand."""
    rng = np.random.default_rng(0)
    a = np.triu(rng.random((12, 7, 7)) < rng.choice([0.3, 0.6], (12, 1, 1)), 1).astype(np.float32)
    a = a + a.swapaxes(1, 2)
    through, total = cycles(jnp.asarray(a))
    for k, one in enumerate(a):
        np.testing.assert_allclose(total[k], [count_cycles(one, length) for length in (3, 4, 5, 6)], atol=1e-3)
        rest = np.delete(np.delete(one, 0, 0), 0, 1)
        without = [count_cycles(one, length) - count_cycles(rest, length) for length in (3, 4, 5)]
        np.testing.assert_allclose(through[k, 0], without, atol=1e-3)
    orders = np.zeros((1, 6, 6), int)
    for i, j, order in ((0, 1, 2), (1, 2, 1), (3, 4, 4)):  # a chain of three, a hidden pair; the last is not real
        orders[0, i, j] = orders[0, j, i] = order
    mask = jnp.array([[True] * 5 + [False]])
    x, y = features(jnp.array([[0, 0, 2, 3, 5, 0]]), jnp.asarray(orders), mask, ELEMENTS)
    assert x.shape[-1] == ATOM and y.shape[-1] == GRAPH
    np.testing.assert_allclose(x[0, :, 3], [1, 1, 1, 0, 0, 0])  # in the largest component
    s = np.array([1.0, 4.0])  # eigenvalues of the chain are 0, 1 and 3
    end, middle = 1 / 3 + np.exp(-s) / 2 + np.exp(-3 * s) / 6, 1 / 3 + 2 * np.exp(-3 * s) / 3
    np.testing.assert_allclose(x[0, :5, 4:6], np.array([end, middle, end, np.ones(2), np.ones(2)]), rtol=1e-5)
    np.testing.assert_allclose(x[0, :, -2:], [[2, 2], [3, 1], [1, 1], [0, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(y[0, 5], 0.3, atol=1e-6)  # three components
    np.testing.assert_allclose(y[0, 6:11], [1, 3, 0, 0, 0], atol=1e-5)  # the chain's Laplacian
    np.testing.assert_allclose(y[0, -1], (2 * 12.011 + 15.999 + 18.998) / 100, rtol=1e-6)
