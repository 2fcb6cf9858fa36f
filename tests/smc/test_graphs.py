"""Graphical models against sums over all values, elimination and quadrature."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from genkit.chain import run, start
from genkit.errors import UsageError
from genkit.smc import (
    ORDERS,
    FactorGraph,
    Factors,
    LatentGaussian,
    MixedGraph,
    PolyaUrn,
    Resample,
    belief_propagation,
    dirichlet_ep,
    factor_graph,
    gaussian_ep,
    laplace,
    variable_order,
)
from genkit.smc.graphs.urn import Powers
from genkit.testing import ising_log_z, ising_torus

KEY = jax.random.key(0)


@jax.jit
def ends(keys, model, slots):
    def one(key):
        return run(key, start(key, model, slots.shape[0]), model.stages, Resample())[0]

    return jax.vmap(one)(keys)


def pairs(unary, pair, edges):
    return FactorGraph(unary, (Factors(edges, pair),))


def log_z(graph, approximation, n, runs, order=None):
    model = graph.model(approximation, order)
    return np.asarray(ends(jax.random.split(KEY, runs), model, jnp.arange(n)).log_z, np.float64)


def unbiased(estimates, exact):
    ratio = np.exp(estimates - exact)
    return abs(ratio.mean() - 1) < 4 * ratio.std() / len(ratio) ** 0.5


def enumerated(graph):
    """All values, and their probabilities times Z."""
    v, k = graph.unary.shape
    x = np.array(list(itertools.product(range(k), repeat=v)))
    return x, np.exp(np.asarray(jax.jit(FactorGraph.log_prob)(graph, x), np.float64))


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
            graph = pairs(field[np.argsort(place)][:, None] * s, np.tile(pair, (19, 1, 1)), edges)
            messages = belief_propagation(graph, tolerance=1e-12)
            assert messages.converged
            np.testing.assert_allclose([messages.log_z, graph.exact()], exact, rtol=0, atol=1e-10)
            np.testing.assert_allclose(log_z(graph, messages, 1, 3), exact, rtol=0, atol=1e-10)
        assert log_z(graph, None, 1, 3).std() > 0.01


@pytest.mark.parametrize(("magnetic", "exact"), [(0.0, 15.504726538718), (0.1, 16.278788118288)])
def test_evidence_of_a_torus_is_unbiased(magnetic, exact):
    graph = ising_torus(4, 4, 0.44, magnetic)
    np.testing.assert_allclose(graph.exact(), exact, rtol=1e-6)
    twisted = log_z(graph, belief_propagation(graph), 16, 2000)
    plain = log_z(graph, None, 16, 2000)
    assert unbiased(twisted, exact) and unbiased(plain, exact)
    if magnetic:  # without a field the messages of a symmetric graph say nothing
        assert twisted.std() < 0.8 * plain.std()


@pytest.mark.parametrize(
    "side, coupling, exact", [(4, 0.44, 15.504726538718), (8, 0.3, 50.609330498185), (16, 0.44, 238.387247204240)]
)
def test_exact_partition_function(side, coupling, exact):
    """Kaufman's formula; by elimination where the torus is small."""
    np.testing.assert_allclose(ising_log_z(side, side, coupling), exact, rtol=1e-13)
    found = ising_torus(side, side, coupling).exact()
    assert found is None if side > 8 else abs(found - exact) < 1e-5


def test_the_smallest_torus():
    np.testing.assert_allclose(ising_torus(3, 3, 0.3).exact(), 7.346915902870, rtol=1e-7)


def test_three_values_and_excluded_pairs():
    """A graph with loops, of which a pair of values is excluded: evidence and marginals."""
    rng = np.random.default_rng(1)
    edges = ((0, 1), (2, 1), (2, 3), (3, 0), (0, 2))
    pair = rng.normal(size=(5, 3, 3))
    pair[1, 0, 2] = -np.inf
    graph = pairs(rng.normal(size=(4, 3)), pair, edges)
    x, p = enumerated(graph)
    np.testing.assert_allclose(graph.exact(), np.log(p.sum()), rtol=1e-6)
    state = ends(jax.random.split(KEY, 500), graph.model(belief_propagation(graph)), jnp.arange(64))
    assert unbiased(np.asarray(state.log_z, np.float64), np.log(p.sum()))
    values = np.asarray(state.p)
    weights = np.exp(np.asarray(state.log_w + state.log_z[:, None], np.float64)) / p.sum()
    for v, k in itertools.product(range(4), range(3)):
        share = (weights * (values[..., v] == k)).sum(1)
        assert abs(share.mean() - p[x[:, v] == k].sum() / p.sum()) < 4.5 * share.std() / 500**0.5
    assert not ((values[..., 2] == 0) & (values[..., 1] == 2) & (weights > 0)).any()


def test_beginning_breaks_a_symmetry():
    graph = ising_torus(4, 4, 0.6)
    symmetric, broken = belief_propagation(graph), belief_propagation(graph, begin=np.tile([0, 0.1], (16, 1)))
    np.testing.assert_allclose(symmetric.to[0], np.log(0.5), atol=1e-6)
    assert broken.to[0][0, 0, 1] - broken.to[0][0, 0, 0] > 0.5 and broken.change < 1e-5


def hypertree(rng):
    """Factors of one to four variables with two to three values, joined to a tree whose root is 0."""
    values = (2, 3, 2, 2, 3, 2, 2)
    scopes = [(0,), (0, 1, 2), (3, 1), (2, 5, 4, 6), (6,)]
    return factor_graph(values, [(s, rng.normal(size=[values[i] for i in s])) for s in scopes])


def test_factors_of_many_variables_on_a_tree():
    """One particle is exact where each variable hangs on what is there, whatever the order within a factor."""
    with jax.enable_x64(True):
        graph = hypertree(np.random.default_rng(2))
        exact = np.log(enumerated(graph)[1].sum())
        messages = belief_propagation(graph, tolerance=1e-12)
        np.testing.assert_allclose([graph.exact(), messages.log_z], exact, atol=1e-10)
        for order in ((6, 4, 2, 5, 0, 1, 3), variable_order("least_degree", graph.neighbours())):
            np.testing.assert_allclose(log_z(graph, messages, 2, 1000, order), exact, atol=1e-10)
        plain = log_z(graph, None, 2, 1000, order)
        assert plain.std() > 0.05 and unbiased(plain, exact)


def test_orders():
    """All are permutations; of a tree `least_degree` goes from a root to the leaves, on a lattice the diagonals."""
    near = pairs(np.zeros((6, 2)), np.zeros((5, 2, 2)), ((0, 4), (4, 1), (4, 2), (2, 3), (3, 5))).neighbours()
    for name in ORDERS:
        assert sorted(variable_order(name, near)) == list(range(6))
    order = variable_order("least_degree", near)
    assert all(near[v] & set(order[:i]) for i, v in enumerate(order) if i)
    square = [{1, 3}, {0, 2, 4}, {1, 5}, {0, 4, 6}, {1, 3, 5, 7}, {2, 4, 8}, {3, 7}, {4, 6, 8}, {5, 7}]
    assert variable_order("breadth_first", square) == (0, 1, 3, 2, 4, 6, 5, 7, 8)


def poisson(x, y):
    return y * x - jnp.exp(x) - jax.scipy.special.gammaln(y + 1.0)


def square_field(tau=1.5, rho=0.9):
    w = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], float)
    return tau * (np.diag(w.sum(1)) - rho * w)


def test_normal_likelihoods_are_exact():
    """Evidence of y = x + noise in every order, by the sites and by one particle."""
    rng = np.random.default_rng(3)
    root, m, y, std = rng.normal(size=(5, 7)), rng.normal(size=5), rng.normal(size=5), 0.7
    q = root @ root.T
    graph = LatentGaussian(q, lambda x, y: jax.scipy.stats.norm.logpdf(y, x, std), y, m)
    cov = np.linalg.inv(q) + std**2 * np.eye(5)
    exact = -0.5 * ((y - m) @ np.linalg.solve(cov, y - m) + np.linalg.slogdet(2 * np.pi * cov)[1])
    for sites in (laplace(graph), gaussian_ep(graph)):
        assert sites.converged
        np.testing.assert_allclose(sites.log_z, exact, atol=1e-9)
    with jax.enable_x64(True):
        for order in (None, (3, 1, 4, 0, 2)):
            np.testing.assert_allclose(log_z(graph, laplace(graph), 1, 3, order), exact, atol=1e-9)


def test_counts_on_a_square():
    """CAR-Poisson on 2 x 2 cells: quadrature, which two numbers of nodes agree on, against SMC with each twisting."""
    graph = LatentGaussian(square_field(), poisson, np.array([3.0, 0.0, 1.0, 6.0]))
    exact = graph.exact()
    assert exact is not None
    mode, ep = laplace(graph), gaussian_ep(graph)
    assert mode.converged and ep.converged
    assert abs(mode.log_z - exact) < 0.05 and abs(ep.log_z - exact) < 0.1 * abs(mode.log_z - exact)
    plain, twisted, moments = (log_z(graph, sites, 32, 2000) for sites in (None, mode, ep))
    for estimates in (plain, twisted, moments):
        assert unbiased(estimates, exact)
    assert twisted.std() < 0.4 * plain.std() and moments.std() < 0.4 * plain.std()


@pytest.mark.parametrize("y", [100.0, 1000.0])
def test_a_likelihood_narrower_than_its_cavity(y):
    """One Poisson count under N(0, 2^2): expectation propagation is exact, by a fine sum about the mode."""
    graph = LatentGaussian(np.array([[0.25]]), poisson, np.array([y]))
    x = np.log(y) + np.linspace(-1, 1, 20_001) * 20 / y**0.5
    log = y * x - np.exp(x) - gammaln(y + 1) - x**2 / 8 - 0.5 * np.log(8 * np.pi)
    exact = np.log(np.exp(log - log.max()).sum() * (x[1] - x[0])) + log.max()
    sites = gaussian_ep(graph)
    assert sites.converged
    np.testing.assert_allclose([sites.log_z, graph.exact()], exact, atol=1e-6)


def test_urn_against_all_draws():
    """Three topics, five draws; sites of one draw are exact; parameters of the look ahead may be clipped."""
    rng = np.random.default_rng(4)
    like, prior = rng.uniform(0.05, 1, size=(5, 3)), np.array([0.3, 1.0, 0.1])
    z = np.array(list(itertools.product(range(3), repeat=5)))
    p = np.ones(len(z))
    for i in range(5):
        counts = (z[:, :i] == z[:, i, None]).sum(1)
        p *= (counts + prior[z[:, i]]) / (i + prior.sum()) * like[i, z[:, i]]
    urn = PolyaUrn(prior, np.log(like))
    exact = np.log(p.sum())
    np.testing.assert_allclose(urn.exact(), exact, rtol=1e-12)
    one = PolyaUrn(prior, np.log(like[:1]))
    np.testing.assert_allclose(dirichlet_ep(one).log_z, np.log(like[0] @ prior / prior.sum()), rtol=1e-10)
    sites = dirichlet_ep(urn)
    assert sites.converged and abs(sites.log_z - exact) < 0.1
    for twist, order in ((None, None), (sites, None), (sites, (4, 2, 0, 1, 3))):
        estimates = log_z(urn, twist, 16, 2000, order)
        assert estimates.std() > 1e-4 and unbiased(estimates, exact)


def test_what_is_clipped():
    """By the order of the draws, and below the parameters of the prior alone."""
    urn = PolyaUrn(np.full(2, 0.05), np.log([[0.9, 0.2], [0.3, 0.6]]))
    assert not urn.clipped(Powers(np.array([[0.3, 0.0], [0.0, 0.5]]), np.zeros(2), 0.0, True))
    urn = PolyaUrn(np.full(2, 0.5), urn.log_lik)
    sites = Powers(np.array([[0.3, 0.0], [-0.45, 0.5]]), np.zeros(2), 0.0, True)
    assert urn.clipped(sites) and not urn.clipped(sites, (1, 0))


def test_expectation_propagation_of_a_document():
    """Four topics, 50 words, 16 particles: far less spread, and nearer the truth than its own value."""
    rng = np.random.default_rng(0)
    phi = rng.dirichlet(np.full(20, 0.2), 4)
    words = [rng.choice(20, p=phi[k]) for k in rng.choice(4, p=rng.dirichlet(np.full(4, 0.5)), size=50)]
    urn = PolyaUrn(np.full(4, 0.5), np.log(phi[:, words].T))
    exact, sites = urn.exact(), dirichlet_ep(urn)
    plain, twisted = log_z(urn, None, 16, 100), log_z(urn, sites, 16, 100)
    assert sites.converged and unbiased(twisted, exact)
    assert twisted.std() <= 0.15 * plain.std()


def test_discrete_and_gaussian_variables():
    """Labels of three values on a chain that pull on two numbers: evidence, and the mean of the numbers."""
    rng = np.random.default_rng(5)
    discrete = pairs(rng.normal(size=(3, 3)), rng.normal(size=(2, 3, 3)), ((0, 1), (1, 2)))
    q, pull, shift = np.array([[2.0, 0.6], [0.6, 1.0]]), rng.normal(size=(3, 3, 2)), np.array([0.3, -0.2])
    mixed = MixedGraph(discrete, q, pull, shift)
    z, p = enumerated(discrete)
    b = shift + pull[np.arange(3), z].sum(1)
    cov = np.linalg.inv(q)
    p = p * np.exp(0.5 * np.einsum("ni,ij,nj->n", b, cov, b)) * 2 * np.pi * np.linalg.det(cov) ** 0.5
    exact, mean = np.log(p.sum()), p @ b @ cov / p.sum()
    np.testing.assert_allclose(mixed.exact(), exact, rtol=1e-6)
    messages = mixed.approximations["lbp"](mixed)
    state = ends(jax.random.split(KEY, 1000), mixed.model(messages), jnp.arange(32))
    assert unbiased(np.asarray(state.log_z, np.float64), exact)
    w = np.exp(np.asarray(state.log_w + state.log_z[:, None], np.float64) - exact)
    estimates = np.einsum("rn,rnd->rd", w, np.asarray(state.p[1]))
    assert (np.abs(estimates.mean(0) - mean) < 4 * estimates.std(0) / 1000**0.5).all()


def test_what_is_excluded_collapses():
    """Of a pair without any values, log Z is -inf; nothing is NaN."""
    graph = pairs(np.zeros((2, 2)), np.full((1, 2, 2), -np.inf), ((0, 1),))
    messages = belief_propagation(graph)
    assert graph.exact() == messages.log_z == -np.inf
    for twist in (None, messages):
        state = ends(jax.random.split(KEY, 2), graph.model(twist), jnp.arange(4))
        assert state.collapsed.all() and (state.log_z == -np.inf).all() and np.isfinite(state.log_w).all()


def test_messages_that_exclude_what_a_potential_favours():
    """Three spins; the middle one has 200 nats for the value that both pairs exclude, so that Z = 4."""
    pair = np.zeros((2, 2, 2))
    pair[0, :, 1] = pair[1, 1, :] = -np.inf
    graph = pairs(np.array([[0.0, 0.0], [0.0, 200.0], [0.0, 0.0]]), pair, ((0, 1), (1, 2)))
    for damping in (0.0, 0.5):
        messages = belief_propagation(graph, damping)
        assert messages.converged
        np.testing.assert_allclose([graph.exact(), messages.log_z], np.log(4), rtol=1e-6)
    np.testing.assert_allclose(log_z(graph, messages, 1, 3), np.log(4), rtol=1e-6)


def test_what_does_not_converge_is_said():
    rng = np.random.default_rng(6)
    graph = pairs(rng.normal(size=(3, 2)), rng.normal(size=(2, 2, 2)), ((0, 1), (1, 2)))
    assert not belief_propagation(graph, max_steps=2).converged
    slow = belief_propagation(graph, damping=1 - 1e-7)  # hardly moves, and is far from a fixed point
    assert not slow.converged and slow.change > 0.1
    assert not laplace(LatentGaussian(square_field(), poisson, np.full(4, 50.0)), max_steps=1).converged


def undefined(x, y):
    return jnp.where(y > 0, jnp.log(-y), 0.0) + 0 * x


def bounded(x, y):
    """Defined at the mode alone."""
    return jnp.where((y > 0) & (x > 1), jnp.nan, -(x**2))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pairs(np.zeros((3, 2)), np.zeros((1, 2, 2)), ((0, 1), (1, 2))), r"expected \(2, 2, 2\), 2 factors"),
        (lambda: pairs(np.zeros((3, 2)), np.zeros((1, 2, 2)), ((1, 3),)), r"factor \(1, 3\) is not of 2 different"),
        (lambda: pairs(np.full((3, 2), np.nan), np.zeros((0, 2, 2)), ()), "unary has a log-potential that is NaN"),
        (
            lambda: pairs(np.zeros((3, 2)), np.full((1, 2, 2), np.inf), ((0, 1),)),
            "table has a log-potential that is NaN",
        ),
        (lambda: belief_propagation(ising_torus(2, 2, 0.1), damping=1.0), r"damping=1.0 must lie in \[0, 1\)"),
        (lambda: factor_graph((2, 3), [((0, 1), np.zeros((2, 2)))]), r"shape \(2, 2\); expected \(2, 3\)"),
        (lambda: ising_torus(2, 2, 0.1).model(order=(0, 1, 1, 2)), r"expected each of the variables 0..3 once"),
        (lambda: variable_order("spiral", [set()]), "unknown order 'spiral'; known are given"),
        (lambda: LatentGaussian(square_field(rho=1.1), poisson, np.zeros(4)), "precision is not positive definite"),
        (lambda: LatentGaussian(np.eye(3), poisson, np.zeros(4)), r"shape \(4,\); expected 3 first"),
        (lambda: LatentGaussian(np.eye(2), poisson, np.array([0.0, np.nan])), "data of variable 1 is not finite"),
        (lambda: LatentGaussian(np.eye(2), poisson, np.zeros(2), np.inf), "mean of variable 0 is not finite"),
        (lambda: laplace(LatentGaussian(np.eye(2), undefined, np.arange(2.0))), "of variable 1, .* is nan at x = 0;"),
        (lambda: gaussian_ep(LatentGaussian(np.eye(2), bounded, np.arange(2.0))), "of variable 1, .* is nan at x ="),
        (lambda: gaussian_ep(LatentGaussian(np.eye(1), poisson, np.zeros(1)), -0.1), r"damping=-0.1 must lie"),
        (lambda: PolyaUrn(np.array([0.5, 0.0]), np.zeros((3, 2))), "numbers above 0, the parameters of a Dirichlet"),
        (lambda: PolyaUrn(np.ones(2), np.full((3, 2), np.nan)), r"log_lik has NaN, \+inf or a row of -inf"),
        (lambda: MixedGraph(ising_torus(2, 2, 0.1), -np.eye(1), np.zeros((4, 2, 1))), "no symmetric positive definite"),
    ],
)
def test_errors(make, says):
    with pytest.raises(UsageError, match=says):
        make()
