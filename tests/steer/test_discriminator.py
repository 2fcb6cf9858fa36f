"""Discriminator guidance: exact laws of two tokens, finite populations, orders that contradict, chains of spins."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multinomial

from genkit.chain import run, start
from genkit.discrete import Ancestral, Linear, OrderAgnostic, masked, sample, steps, uniform
from genkit.errors import UsageError
from genkit.smc import Resample
from genkit.steer import ARDG, BSDG, FADG, WeightedSum, discriminator_loss, guide, noisy_classifier_loss
from genkit.testing import all_states, discrete_denoiser, ising_denoiser, potts_denoiser

KEY = jax.random.key(0)
Q = np.array([[0.5, 0.1], [0.15, 0.25]])
P = np.array([[0.2, 0.3], [0.3, 0.2]])
X = jnp.asarray(all_states(2, 2))
ORDERS = [np.array(order) for order in permutations(range(2))]
PARTIAL = jnp.array([[0, 2], [1, 2], [2, 0], [2, 1]])


@jax.tree_util.Partial
def ratio(tables, x, t, cond=None):
    """log W = log q(x_S) - log p(x_S), from the exact denoisers of both."""
    q, p = tables
    return q.log_prob(x, t) - p.log_prob(x, t)


def odds(q=Q, p=P):
    return jax.tree_util.Partial(ratio, (discrete_denoiser(q), discrete_denoiser(p)))


@jax.jit
def along(model, x):
    """log-density of all states x under FADG's moves, along the particles' order, and the log-weights of the paths."""
    p, _ = model.init(jax.random.split(KEY, len(x)))
    log_q, log_w = 0.0, 0.0
    for kernel, inputs in model.stages[:-1]:  # the last one only shows the states
        for i in range(len(inputs[0])):
            u = jax.tree.map(lambda a, i=i: jnp.asarray(a)[i], inputs)
            ahead, log_e = kernel.look(None, p, u)
            value = jnp.take_along_axis(x, kernel.kernel.sites(p.p, u)[0], 1)
            log_q = log_q + jnp.take_along_axis(kernel.log_proposal(ahead), value, 1)[:, 0]
            log_w = log_w + log_e
            log_h = jnp.take_along_axis(ahead.log_h, value, 1)[:, 0]
            p1 = kernel.kernel.arrive(p.p, kernel.kernel.write(p.p, value, u), u)
            p = type(p)(p1, log_h)
    return log_q, log_w


def laws(log_potential, denoiser=None, sites=2, classes=2):
    """Over all orders: the law of ARDG, and p(x | order) W(x) of the weighted paths."""
    x = jnp.asarray(all_states(sites, classes))
    denoiser = denoiser or discrete_denoiser(P)
    drawn, weighted = [], []
    for order in ORDERS:
        chain = OrderAgnostic(classes).model(denoiser, x.shape, order=order)
        log_q, log_w = along(FADG().model(chain, log_potential), x)
        drawn.append(np.exp(log_q))
        weighted.append(np.exp(log_q + log_w))
    return np.array(drawn), np.array(weighted)


def test_two_tokens():
    with jax.enable_x64(True):
        w, t = odds(), jnp.zeros(())
        np.testing.assert_allclose(np.exp(w(PARTIAL, t)), [1.2, 0.8, 1.3, 0.7], atol=1e-12)
        np.testing.assert_allclose(np.exp(w(X, t)), [2.5, 1 / 3, 0.5, 1.25], atol=1e-12)
        d = jax.nn.sigmoid(w(jnp.concatenate([X, PARTIAL[:2]]), t))
        np.testing.assert_allclose(d, [0.714286, 0.25, 0.333333, 0.555556, 0.545455, 0.444444], atol=1e-6)
        drawn, weighted = laws(w)
        np.testing.assert_allclose(drawn, [Q.ravel()] * 2, atol=1e-12)
        np.testing.assert_allclose(weighted, [Q.ravel()] * 2, atol=1e-12)


@pytest.mark.parametrize(
    ("alpha", "one", "two", "limit", "z"),
    [
        (0.5, (0.355691, 0.194820, 0.218826, 0.230663), (0.345200, 0.184737, 0.231568, 0.238495),
         (0.341804, 0.187214, 0.229289, 0.241692), 0.925172),
        (2.0, (0.674326, 0.017982, 0.059553, 0.248139), (0.731348, 0.021665, 0.043881, 0.203106),
         (0.748130, 0.019950, 0.044888, 0.187032), 1.670833),
    ],
)  # fmt: skip
def test_powers_of_the_ratio(alpha, one, two, limit, z):
    with jax.enable_x64(True):
        drawn, weighted = laws(WeightedSum((odds(),), (alpha,)))
    np.testing.assert_allclose(drawn, [one, two], atol=1e-6)
    np.testing.assert_allclose(weighted.sum(1), z, atol=1e-6)
    np.testing.assert_allclose(weighted / weighted.sum(1, keepdims=True), [limit] * 2, atol=1e-6)


def test_an_error_at_partial_states():
    def wrong(x, t, cond=None):
        return odds()(x, t) + jnp.where((x == jnp.array([0, 2])).all(1), jnp.log(3.0), 0.0)

    with jax.enable_x64(True):
        drawn, weighted = laws(wrong)
    np.testing.assert_allclose(drawn[0], [0.681818, 0.136364, 0.068182, 0.113636], atol=1e-6)
    np.testing.assert_allclose(np.abs(drawn[0] - Q.ravel()).sum() / 2, 0.218182, atol=1e-6)
    np.testing.assert_allclose(weighted, [Q.ravel()] * 2, atol=1e-7)


@jax.tree_util.Partial
def inconsistent(x, t, cond=None):
    """Conditionals of two bits with p(x1) p(x2 | x1) != p(x2) p(x1 | x2)."""
    second = jnp.log(jnp.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]))[x[:, 0]]
    first = jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4]]))[x[:, 1]]
    return jnp.stack([first, second], 1)


def test_orders_that_contradict():
    """The discriminator knows the mean of the orders' laws; only particles with own orders make up for that."""
    q, pbar = np.array([[0.4, 0.1], [0.1, 0.4]]), np.array([[0.395, 0.08], [0.185, 0.34]])
    with jax.enable_x64(True):
        drawn, weighted = laws(odds(q, pbar), inconsistent)
    np.testing.assert_allclose(drawn.mean(0), [0.411181, 0.098480, 0.104032, 0.386306], atol=1e-6)
    np.testing.assert_allclose(np.abs(drawn.mean(0) - q.ravel()).sum() / 2, 0.015214, atol=1e-6)
    z = weighted.sum(1)
    np.testing.assert_allclose(z, [1.016112, 0.983888], atol=1e-6)
    shared = (weighted / z[:, None]).mean(0)
    np.testing.assert_allclose(shared, [0.397737, 0.100429, 0.100592, 0.401241], atol=1e-6)
    np.testing.assert_allclose(np.abs(shared - q.ravel()).sum() / 2, 0.002263, atol=1e-6)
    np.testing.assert_allclose(weighted.mean(0), q.ravel(), atol=1e-6)

    # many particles: groups with one order find the constant of that order, those with many find 1
    methods = [FADG(2000, Resample(threshold=1.0), order) for order in ("group", "particle")]
    one, many = (guide(KEY, m, OrderAgnostic(2), inconsistent, odds(q, pbar), (64, 2), draws=None) for m in methods)
    near = np.abs(np.exp(one.log_z)[:, None] - z)
    assert near.min(1).max() < 0.006 and set(near.argmin(1)) == {0, 1}
    assert np.abs(np.exp(many.log_z) - 1).max() < 0.006
    np.testing.assert_allclose(law(many), q.ravel(), atol=4 * 0.5 / (64 * 2000) ** 0.5)


def law(draws, states=2):
    """Weighted frequencies of the particles of all groups, (S^D,)."""
    x = np.asarray(draws.x).reshape(-1, draws.x.shape[-1])
    index = (x * states ** np.arange(x.shape[1])[::-1]).sum(1)
    w = np.exp(np.asarray(draws.log_w)).ravel() / len(draws.log_w)
    return np.bincount(index, w, states ** x.shape[1])


FINITE = [(1, 0.3), (2, 0.201872), (4, 0.114198), (8, 0.057642), (16, 0.028215), (32, 0.013869)]


@pytest.mark.parametrize("n, tv", FINITE)
def test_exact_law_of_few_particles(n, tv):
    """Over all counts of three classes among N draws from p, one of which is chosen by q / p."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    counts = np.array([k for k in all_states(3, n + 1) if k.sum() == n])
    mass = multinomial.pmf(counts, n, p)
    law = (mass[:, None] * counts * (q / p) / (counts @ (q / p))[:, None]).sum(0)
    np.testing.assert_allclose(np.abs(law - q).sum() / 2, tv, atol=6e-7)
    w = q / p
    limit = (q * np.abs(w - q @ w)).sum() / 2
    np.testing.assert_allclose(limit, 0.435, atol=1e-12)
    assert abs(n * tv - limit) < 0.3 / n**0.5 and (n < 32 or abs(n * tv / limit - 1) < 0.03)


@pytest.mark.parametrize("n, tv", [FINITE[0], FINITE[1], FINITE[3]])
def test_law_of_few_particles(n, tv):
    """One site of three classes: N draws from p, one of them chosen by q / p."""
    p, q, groups = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), 40_000
    problem = KEY, BSDG(n), OrderAgnostic(3), discrete_denoiser(p), odds(q, p), (groups, 1)
    drawn = np.bincount(np.asarray(guide(*problem).x).ravel(), minlength=3) / groups
    draws = guide(*problem, draws=None)
    weighted = law(draws, 3)
    for found in (drawn, weighted):
        np.testing.assert_allclose(np.abs(found - q).sum() / 2, tv, atol=4 * 0.5 / groups**0.5)
    if n == 2:
        np.testing.assert_allclose(weighted, [0.363300, 0.338571, 0.298128], atol=4 * 0.4 / groups**0.5)


def test_one_particle():
    """FADG is then ARDG and BSDG the plain chain, with the same numbers."""
    setting = OrderAgnostic(2), discrete_denoiser(P), odds()
    shape = (32, 2)
    one, direct = (guide(KEY, method, *setting, shape) for method in (FADG(1), ARDG()))
    np.testing.assert_array_equal(one.x, direct.x)
    boot = guide(KEY, BSDG(1), *setting, shape, chunk=8)
    chain = setting[0].model(setting[1], (1, 2))

    def plain(g):
        key, _ = jax.random.split(jax.random.fold_in(KEY, g))
        return run(key, start(key, chain, 1), chain.stages)[0].p.x

    np.testing.assert_array_equal(boot.x, jax.jit(jax.vmap(plain))(jnp.arange(32)))
    assert (boot.x != one.x).any()


@pytest.mark.parametrize("ring", [False, True])
def test_spins_by_their_energy_alone(ring):
    """Uniform model, the energy weighs the last state only: the estimate of Z is unbiased."""
    coupling, h, n = 0.5, 0.2, 10
    exact = {False: 8.46839306, True: 8.64268138}[ring]

    def energy(x, t, cond=None):
        s = 2.0 * x - 1
        pairs = (s * jnp.roll(s, -1, 1))[:, : n if ring else n - 1]
        return coupling * pairs.sum(1) + h * s.sum(1) + n * jnp.log(2.0)

    uniform = jax.tree_util.Partial(lambda x, t, cond: jnp.zeros((*x.shape, 2)))

    def final(x, t, cond=None):
        return jnp.where(t > 0, 0.0, energy(x, t))

    log_z = guide(KEY, BSDG(50), OrderAgnostic(2), uniform, final, (200, n)).log_z
    z = np.exp(np.asarray(log_z, np.float64) - exact)
    assert abs(z.mean() - 1) < 4 * z.std() / 200**0.5 and z.std() > 0.1


def test_spins_with_exact_messages():
    """With W of every partial state the weights are constant: one particle finds Z, of chains, rings, and Potts."""
    potts = potts_denoiser(0.8 * np.eye(3), np.zeros(3), ring=True)
    for n, spins, exact in (
        (10, ising_denoiser(0.5), 8.01250237),
        (16, ising_denoiser(0.8, 0.1, ring=True), 16.11788213),
        (7, potts, np.log((np.exp(0.8) + 2) ** 7 + 2 * (np.exp(0.8) - 1) ** 7)),
    ):
        k = spins.log_emission.shape[1]

        def log_w(x, t, cond, spins=spins, k=k):
            return spins.log_prob(x) + (x < k).sum(1) * jnp.log(float(k))

        uniform = jax.tree_util.Partial(lambda x, t, cond, k=k: jnp.zeros((*x.shape, k)))
        with jax.enable_x64(True):
            log_z = guide(KEY, ARDG(), OrderAgnostic(k), uniform, jax.tree_util.Partial(log_w), (2, n)).log_z
        np.testing.assert_allclose(log_z, exact, atol=1e-8)


SOFT = np.array([[0.9, 0.3], [0.2, 0.6]])


@pytest.mark.parametrize(
    "given, gamma, expected",
    [
        (np.eye(2), 2.0, (2 / 3, 0, 0, 1 / 3)),
        (SOFT, 2.0, (0.794118, 0.017647, 0.011765, 0.176471)),
        (SOFT, 4.0, (0.907469, 0.002241, 0.000664, 0.089627)),
    ],
)
def test_strong_guidance_to_a_class_is_corrected(given, gamma, expected):
    """The law q(x) p(c | x)^gamma / Z, which guidance without weights misses."""
    towards = WeightedSum((odds(Q * given, Q),), (gamma,))
    with jax.enable_x64(True):
        _, weighted = laws(towards, discrete_denoiser(Q))
    np.testing.assert_allclose(weighted / weighted.sum(1, keepdims=True), [expected] * 2, atol=1e-6)
    chain = Ancestral(masked(2, Linear()), 4)
    groups, n = 100, 400
    draws = guide(KEY, BSDG(n), chain, discrete_denoiser(Q, masked(2, Linear())), towards, (groups, 2), draws=None)
    # four steps reveal pairs at once, so that the model of this chain is (1 - 1/4) q + 1/4 of its marginals
    model = 0.75 * Q + 0.25 * np.outer(Q.sum(1), Q.sum(0))
    target = (model * given**gamma).ravel()
    np.testing.assert_allclose(law(draws), target / target.sum(), atol=5 * 0.5 / (groups * n) ** 0.5 + 0.002)


def test_what_is_impossible():
    """Where the ratio forbids all values they come from the model; the weight is zero, nothing is NaN."""
    nothing, equal = odds(np.zeros((2, 2)), P), odds(np.eye(2) / 2, P)
    for method in (BSDG(2), FADG(2)):
        setting = KEY, method, OrderAgnostic(2), discrete_denoiser(P)
        draws = guide(*setting, nothing, (200, 2))
        assert draws.collapsed.all() and (draws.log_z == -np.inf).all()
        assert (draws.x < 2).all() and 0.1 < (draws.x[..., 0] == draws.x[..., 1]).mean() < 0.8
        draws = guide(*setting, equal, (200, 2))
        same = (draws.x[..., 0] == draws.x[..., 1])[:, 0]
        np.testing.assert_array_equal(same, ~np.asarray(draws.collapsed))
        assert same.all() == isinstance(method, FADG)


def test_a_weighted_sum():
    def one(x, t, cond=None):
        return jnp.ones(len(x))

    t = jnp.array([0.0, 0.25, 0.5, 1.0])
    x = jnp.zeros((4, 2), int)
    np.testing.assert_allclose(WeightedSum((one, one), (2.0, 1.5))(x, t), 3.5)
    zero = jax.tree_util.Partial(lambda x, t, cond=None: jnp.full(len(x), -jnp.inf))
    np.testing.assert_allclose(WeightedSum((one, zero), (1.0, 0.0))(x, t), 1)
    calls = []

    def noted(x, t, cond=None):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.ones(len(x))

    for weight, expected in ((0.0, 0), (2.0, 1)):  # what has no weight is not computed, in one program for both
        np.testing.assert_allclose(jax.jit(WeightedSum.__call__)(WeightedSum((noted,), (weight,)), x, t), weight)
        jax.effects_barrier()
        assert len(calls) == expected


def test_conditions_go_to_their_groups():
    def towards(x, t, cond):
        return jnp.where((x == cond[:, None]) | (x == 2), 0.0, -jnp.inf).sum(1)

    wanted = jnp.array([0, 1, 1])
    draws = guide(KEY, FADG(2), OrderAgnostic(2), discrete_denoiser(P), towards, (3, 2), wanted, draws=2)
    np.testing.assert_array_equal(draws.x, np.broadcast_to(wanted[:, None, None], (3, 2, 2)))


@pytest.mark.parametrize("method", [FADG(3), FADG(3, order="group")])
def test_groups_with_fewer_sites_and_groups_drawn_in_parts(method):
    """Independent sites with p = (0.3, 0.7) and weights (3, 1): each real one multiplies the evidence by 1.6."""
    log_p, log_w = jnp.log(jnp.array([0.3, 0.7])), jnp.log(jnp.array([3.0, 1.0, 1.0]))

    def towards(x, t, real):
        return jnp.where(real, log_w[x], 0.0).sum(1)

    setting = KEY, method, OrderAgnostic(2), lambda x, t, cond: jnp.broadcast_to(log_p, (*x.shape, 2)), towards
    mask = jnp.array([[True, True], [True, False], [False, True], [True, True]])
    draws = guide(*setting, (4, 2), mask, mask=mask, draws=None)
    np.testing.assert_allclose(draws.log_z, mask.sum(1) * np.log(1.6), rtol=1e-5)
    assert not draws.x[~np.broadcast_to(mask[:, None], (4, 3, 2))].any()
    part = guide(*setting, (2, 2), mask[2:], slots=jnp.array([2, 3]), mask=mask[2:], draws=None)
    np.testing.assert_array_equal(part.x, draws.x[2:])


def test_loss_of_the_best_discriminator():
    """Mean over one and two revealed bits of the cross-entropy at d = q / (q + p)."""
    n, w = 60_000, odds()
    keys = jax.random.split(KEY, 3)
    real, generated = (
        sample(k, OrderAgnostic(2), discrete_denoiser(a), (n, 2)) for k, a in zip(keys, (Q, P), strict=False)
    )
    loss = jax.jit(lambda key, w: discriminator_loss(key, w, real, generated, 2))
    exact = []
    for q, p in ((Q, P), (Q.sum(1), P.sum(1)), (Q.sum(0), P.sum(0))):
        exact.append(-(q * np.log(q / (q + p)) + p * np.log(p / (q + p))).sum() / 2)
    expected = 0.5 * exact[0] + 0.25 * (exact[1] + exact[2])
    best = float(loss(keys[2], w))
    assert abs(best - expected) < 0.006 and best < np.log(2)
    for alpha in (0.5, 1.5):
        assert float(loss(keys[2], WeightedSum((w,), (alpha,)))) > best + 0.001


def test_a_discriminator_of_noisy_states():
    """Its loss by enumeration at every time of a chain; with it, samples of P become those of Q."""
    process = uniform(2, steps([1.0, 0.7, 0.3, 0.1]))
    q, p = (discrete_denoiser(a, process) for a in (Q, P))
    best = jax.tree_util.Partial(ratio, (q, p))
    n, rng = 60_000, np.random.default_rng(0)
    x = jnp.asarray(np.concatenate([np.asarray(X)[rng.choice(4, n, p=a.ravel())] for a in (Q, P)]))
    label = jnp.arange(2 * n) < n
    loss = jax.jit(lambda key, w: noisy_classifier_loss(key, w, x, label, process))
    exact = []
    for t in range(4):
        one, other = (np.exp(np.asarray(a.log_prob(X, jnp.float32(t)))) for a in (q, p))
        exact.append(-(one * np.log(one / (one + other)) + other * np.log(other / (one + other))).sum() / 2)
    assert abs(float(loss(KEY, best)) - np.mean(exact)) < 0.003 and np.mean(exact) < np.log(2) - 0.02
    for alpha in (0.5, 1.5):
        assert float(loss(KEY, WeightedSum((best,), (alpha,)))) > float(loss(KEY, best)) + 0.001
    draws = guide(KEY, BSDG(16), Ancestral(process), p, best, (6000, 2))
    found = np.bincount(np.asarray(draws.x[:, 0]) @ [2, 1], minlength=4) / 6000
    # the chain draws sites one by one given x_t, and its own law, not P, is weighed by Q / P
    alone = np.bincount(np.asarray(sample(KEY, Ancestral(process), p, (60_000, 2))) @ [2, 1], minlength=4) / 60_000
    expected = alone * (Q / P).ravel()
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.025)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: FADG(0), "particles=0"),
        (lambda: BSDG(order="all"), "order='all'"),
        (lambda: ARDG(2), "use FADG"),
        (lambda: guide(KEY, FADG(), OrderAgnostic(2, (0, 2)), inconsistent, odds(), (4, 2)), "no budget"),
        (lambda: guide(KEY, FADG(), OrderAgnostic(2), inconsistent, odds(), (4, 2), draws=0), "draws=0"),
        (lambda: guide(KEY, FADG(), OrderAgnostic(2), inconsistent, odds(), (4, 2), jnp.ones(3)), "4 groups"),
        (
            lambda: guide(KEY, ARDG(), OrderAgnostic(2), inconsistent, odds(), (4, 2), mask=jnp.ones((3, 2), bool)),
            r"mask has shape \(3, 2\); expected \(4, 2\)",
        ),
    ],
)
def test_wrong_use(make, words):
    with pytest.raises(UsageError, match=words):
        make()
