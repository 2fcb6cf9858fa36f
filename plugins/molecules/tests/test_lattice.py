"""Enumeration of small molecules, and exact laws on them."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.discrete import OrderAgnostic, order_agnostic_loss, sample
from genkit.errors import UsageError
from genkit_molecules import exact
from genkit_molecules.chemistry.chem import smiles_of
from genkit_molecules.chemistry.enumerate import copies, enumerate_graphs
from genkit_molecules.chemistry.graphs import atoms, pairs, relabel, sites
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.evaluation import property_of
from genkit_molecules.experiments.lattice_guidance import LatticeGuidance
from genkit_molecules.items.orders import order_named
from genkit_molecules.target import target

KEY = jax.random.key(0)
ORDERS = ("uniform", "nodes_edges", "node_edges_node")


def test_number_of_molecules():
    for n, graphs, tensors in ((1, 4, 4), (2, 19, 29), (3, 94, 448), (4, 621, 11961), (5, 4715, None)):
        x = enumerate_graphs(n)
        assert x.shape == (graphs, sites(n))
        if tensors:
            assert sum(map(len, copies(x, n))) == tensors
        # those without a ring, and their labelled copies
        tree = (x[:, n:] > 0).sum(1) == n - 1
        assert tree.sum() == {1: 4, 2: 19, 3: 68, 4: 356, 5: 2001}[n]
        if n in (3, 4):
            assert sum(map(len, copies(x[tree], n))) == {3: 363, 4: 7532}[n]
    assert [len(enumerate_graphs(n, ("C", "N", "O"))) for n in (1, 2, 3, 4, 5)] == [3, 15, 74, 479, 3570]


def test_no_exact_law_of_a_learned_order():
    discrete = SimpleNamespace(orders=order_named("learned"))
    run: Any = SimpleNamespace(model=SimpleNamespace(generator=SimpleNamespace(discrete=discrete)))
    with pytest.raises(UsageError, match="an order that is given"):
        LatticeGuidance().tables(run)


def test_properties_of_all_molecules():
    """Means over all molecules of three and four atoms, and how many RDKit calls aromatic."""
    for n, log_p, qed, aromatic in ((3, 0.0459, 0.3499, 4), (4, -0.0276, 0.3530, 48)):
        smiles = [s for s in smiles_of(enumerate_graphs(n), "CNOF") if s]
        assert property_of(smiles, "logP").mean() == pytest.approx(log_p, abs=6e-5)
        assert property_of(smiles, "QED").mean() == pytest.approx(qed, abs=6e-5)
        assert sum(any(c.islower() for c in s) for s in smiles) == aromatic


@pytest.mark.slow
def test_six_atoms():
    """42 087 Kekule graphs; the aromatic ones among them are pairs of one molecule."""
    x = enumerate_graphs(6)
    assert len(x) == 42087 and len(set(smiles_of(x, "CNOF"))) == 42068


def test_the_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    data = Lattice(n=3).load()
    assert len(data.train[0].x) == len(set(data.train_smiles)) == 94 and data.layout.classes == 4
    assert {"CCO", "C1CC1", "O=C=O", "N#CF", "FOF"} <= set(data.train_smiles)
    assert Lattice(n=3).path().is_file()
    with pytest.raises(UsageError, match="n=7"):
        Lattice(n=7)
    with pytest.raises(UsageError, match="elements=C S"):
        Lattice(elements=("C", "S"))


def test_relabelling():
    to = relabel(3)
    assert to.shape == (6, 6) and (np.sort(to, 1) == np.arange(6)).all()
    x = np.array([0, 1, 2, 3, 0, 1])  # bond 3 of atoms 0 and 1, bond 1 of atoms 1 and 2
    for g in to:
        new = np.zeros(6, int)
        new[g] = x
        bond = {frozenset(new[list(pair)]): int(b) for pair, b in zip(pairs(3), new[3:], strict=True)}
        assert bond == {frozenset({0, 1}): 3, frozenset({0, 2}): 0, frozenset({1, 2}): 1}
    assert atoms(10) == 4
    with pytest.raises(UsageError, match="7 sites"):
        atoms(7)


def check_exact(n, marginals, figures):
    data = target(n)
    of = data.orbits
    found = np.exp(np.array([data.log_q[of.of(state)] for state in marginals[0]]))
    np.testing.assert_allclose(found, marginals[1], atol=1e-6)
    for which, (validity, tv, given) in figures.items():
        log_p = exact.conditionals(of, data.model(which))
        model = exact.law(of, log_p)
        score = data.score(model)
        np.testing.assert_allclose((score.validity, score.tv, score.tv_valid), (validity, tv, given), atol=1e-6)
        ratio = exact.log_ratio(data.log_q, data.model(which))
        for best in (exact.law(of, exact.adapted(of, log_p, ratio)), exact.reweighed(of, model, ratio)):
            assert data.score(best).tv < 1e-6 and abs(data.score(best).validity - 1) < 1e-9


def single(n, site):
    """States with all sites hidden but one."""
    x = np.full((4, sites(n)), 4)
    x[:, site] = np.arange(4)
    return x


def test_exact_laws_of_three_atoms():
    states = np.concatenate([single(3, 0), single(3, 5)])
    marginals = [0.400709, 0.308511, 0.209220, 0.081560, 0.241135, 0.528369, 0.191489, 0.039007]
    check_exact(3, (states, marginals), {
        "factorised": (0.503626, 0.556644, 0.346580), "half": (0.751813, 0.278322, 0.116084),
    })  # fmt: skip
    assert len(target(3).orbits.states) == 2925
    np.testing.assert_allclose([target(2).entropy, target(3).entropy], [3.309253, 6.022844], atol=1e-6)


@pytest.mark.slow
def test_exact_laws_of_four_atoms():
    states = np.concatenate([single(4, 0), single(4, 9)])
    marginals = [0.439614, 0.314815, 0.179147, 0.066425, 0.412775, 0.442566, 0.124799, 0.019860]
    check_exact(4, (states, marginals), {
        "factorised": (0.294262, 0.729511, 0.426478), "half": (0.647131, 0.364756, 0.096963),
    })  # fmt: skip
    assert len(target(4).orbits.states) == 428_625
    np.testing.assert_allclose(target(4).entropy, 9.302414, atol=1e-6)


def test_guidance_to_rings():
    """With the exact p(ring | x_S) the law is uniform on the 26 molecules with a ring, of 94."""
    data = target(3)
    of, full = data.orbits, np.full((5,) * 6, 0.0)
    ring = (data.x[:, 3:] > 0).all(1)
    assert ring.sum() == 26
    q = np.zeros((4,) * 6)
    for rows in copies(data.x[ring], 3):
        q[tuple(rows.T)] = 1 / 94 / len(rows)
    full = exact.marginals(q)
    with np.errstate(divide="ignore"):
        log_c = exact.log_ratio(np.log(full.ravel()[of.codes]), data.log_q)
    np.testing.assert_allclose(np.exp(log_c[of.of(np.full((1, 6), 4))]), 26 / 94, rtol=1e-12)
    law = exact.law(of, exact.adapted(of, exact.conditionals(of, data.log_q), log_c))
    np.testing.assert_allclose((law * of.size)[data.valid], ring / 26, atol=1e-12)


def any_conditionals(of):
    """Of an equivariant model with contradicting orders."""
    logits = np.random.default_rng(0).normal(size=(*of.states.shape, 4))
    # sites that a relabelling exchanges get the same
    table = exact.table(of, logits)
    x = jnp.asarray(of.states)
    mean = sum(np.asarray(turned(table, x, g)) for g in relabel(of.n)) / len(relabel(of.n))
    return mean - np.log(np.exp(mean).sum(-1, keepdims=True))


def turned(table, x, g):
    """The table at relabelled states, turned back."""
    return table(jnp.zeros_like(x).at[:, g].set(x), None)[:, g]


@pytest.mark.parametrize("order", ORDERS)
def test_exact_laws_are_those_of_the_sampler_and_of_the_loss(order):
    data, orders = target(3), order_named(order)
    of = data.orbits
    log_p = any_conditionals(of)
    law = exact.law(of, log_p, order)
    np.testing.assert_allclose((law * of.size)[of.full].sum(), 1, rtol=1e-6)
    table, n = exact.table(of, log_p), 40_000
    x = sample(KEY, OrderAgnostic(4, orders=orders), table, (n, 6))
    share = np.bincount(of.of(np.asarray(x)), minlength=len(law)) / n
    classes = int(of.full.sum())
    assert np.abs(share - law * of.size)[of.full].sum() / 2 < 1.3 * exact.noise_floor(classes, n)
    # the bound, and its exact value
    loss = jax.jit(lambda key, x: order_agnostic_loss(key, table, x, None, 4, orders=orders))
    found = [loss(key, data.draw(key, 4000)) for key in jax.random.split(KEY, 8)]
    exactly = exact.bound(of, data.log_q, log_p, order)
    assert abs(np.mean(found) - exactly) < 5 * np.std(found) / 8**0.5 + 1e-3
    assert exact.bound(of, data.log_q, exact.conditionals(of, data.log_q), order) == pytest.approx(data.entropy)


def test_marginals_of_a_law():
    data = target(3)
    np.testing.assert_allclose(
        np.exp(exact.log_marginals(data.orbits, np.where(data.orbits.full, np.exp(data.log_q), 0))),
        np.exp(data.log_q), atol=1e-12,
    )  # fmt: skip
    x = np.asarray(data.draw(KEY, 20_000))
    far = np.abs(data.histogram(x) - 1 / 94).sum() / 2
    assert far < 1.3 * exact.noise_floor(94, 20_000) and exact.noise_floor(94, 20_000) == pytest.approx(
        0.0272, abs=1e-4
    )


def test_the_experiment(tmp_path):
    run = genkit.run(genkit.config("molecules.lattice_guidance", "tiny", {}), out=tmp_path / "run")
    results: Any = run.results
    assert results["bound"] > results["entropy"] == pytest.approx(3.309253, abs=1e-6)
    assert results["validity/fadg_exact/4"] == pytest.approx(1) and results["tv/smc_exact/inf"] < 1e-6
    for name in ("bsdg/4", "fadg/4", "fadg_exact/4"):
        assert results[f"floor/{name}"] > 0 and 1 <= results[f"ess/{name}"] <= 4.001
    assert set(run.figures) >= {"guidance", "ess", "molecules_ardm", "molecules_fadg"}


@pytest.mark.parametrize(
    ("options", "says"),
    [({"n": 5}, "n=5"), ({"groups": 0}, "groups=0"), ({"particles": (0,)}, "numbers of at least 1")],
)
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("molecules.lattice_guidance", "default", options)
