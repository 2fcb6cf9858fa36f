"""Order-agnostic chains: laws over all orders, densities, particles of other sizes, budgets."""

from dataclasses import dataclass
from itertools import combinations, permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.discrete import OrderAgnostic, OrderedParticle, order_agnostic_loss, parallel_budget, sample
from genkit.errors import UsageError
from genkit.testing import all_states, discrete_denoiser, hmm_denoiser

KEY = jax.random.key(0)
HMM = hmm_denoiser([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])


@jax.tree_util.Partial
def inconsistent(x, t, cond=None):
    """Conditionals of two bits that contradict one another: p(x1) p(x2 | x1) != p(x2) p(x1 | x2)."""
    second = jnp.log(jnp.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]))[x[:, 0]]
    first = jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4]]))[x[:, 1]]
    return jnp.stack([first, second], 1)


@jax.jit
def log_density(model, x):
    """log p(x | order) along the order of the particles, from log_prob of every move."""
    p, _ = model.init(jax.random.split(KEY, len(x)))
    total = 0.0
    for kernel, inputs in model.stages:
        for i in range(len(inputs[0])):
            u = jax.tree.map(lambda a, i=i: jnp.asarray(a)[i], inputs)
            value = jnp.take_along_axis(x.reshape(len(x), -1), kernel.sites(p, u)[0], 1)
            p1 = kernel.arrive(p, kernel.write(p, value, u), u)
            total = total + kernel.log_prob(p, p1, u)
            p = p1
    return total, p


def test_law_of_conditionals_that_contradict():
    x = jnp.asarray(all_states(2, 2))
    expected = {(0, 1): [0.54, 0.06, 0.12, 0.28], (1, 0): [0.25, 0.1, 0.25, 0.4]}
    laws = []
    for order in permutations(range(2)):
        log_p, p = log_density(OrderAgnostic(2).model(inconsistent, (4, 2), order=np.array(order)), x)
        np.testing.assert_allclose(np.exp(log_p), expected[order], rtol=1e-5)
        np.testing.assert_array_equal(p.x, x)
        laws.append(np.exp(log_p))
    np.testing.assert_allclose(np.mean(laws, 0), [0.395, 0.08, 0.185, 0.34], rtol=1e-5)


def test_the_surest_site_first():
    """Of conditionals that contradict one another the law of the order that the probabilities say, .6 before .5."""
    x = jnp.asarray(all_states(2, 2))
    log_p, p = log_density(OrderAgnostic(2, confident=True).model(inconsistent, (4, 2)), x)
    np.testing.assert_allclose(np.exp(log_p), [0.54, 0.06, 0.12, 0.28], rtol=1e-5)
    assert (p.order == np.array([0, 1])).all()
    with pytest.raises(UsageError, match="an order is given, and confident=True makes its own"):
        OrderAgnostic(2, confident=True).model(inconsistent, (4, 2), order=np.array([1, 0]))
    # of conditionals that agree the same law; the order is that of the largest probabilities after each step
    x = jnp.asarray(all_states(4, 3))
    model = OrderAgnostic(3, confident=True).model(HMM, (81, 4))
    log_p, p = log_density(model, x)
    np.testing.assert_allclose(log_p, HMM.log_prob(x), rtol=1e-4)
    hidden = jax.nn.softmax(HMM(jnp.full((1, 4), 3), jnp.ones(1))).max(-1).argmax()
    assert (p.order[:, 0] == hidden).all() and len({tuple(o) for o in np.asarray(p.order)}) > 1
    mask = np.arange(4) < np.arange(1, 5)[:, None]
    short = OrderAgnostic(3, confident=True).model(HMM, (4, 4), mask=mask)
    order = np.asarray(run(KEY, start(KEY, short, 4), short.stages)[0].p.order)
    assert all(set(order[k, : k + 1]) == set(range(k + 1)) for k in range(4))  # those that are not real come last


def test_samples_with_an_order_for_each_particle():
    n = 40_000
    model = OrderAgnostic(2).model(inconsistent, (n, 2))
    state, _ = run(KEY, start(KEY, model, n), model.stages)
    counts = np.histogramdd(np.asarray(state.p.x), bins=[np.arange(3) - 0.5] * 2)[0].ravel()
    pbar = np.array([0.395, 0.08, 0.185, 0.34])
    assert (np.abs(counts / n - pbar) < 4 * np.sqrt(pbar * (1 - pbar) / n)).all()
    first = np.asarray(state.p.order)[:, 0]
    assert abs(first.mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    # given the order, the law is that of the order
    share = np.histogramdd(np.asarray(state.p.x)[first == 0], bins=[np.arange(3) - 0.5] * 2)[0].ravel()
    given = np.array([0.54, 0.06, 0.12, 0.28])
    assert (np.abs(share / share.sum() - given) < 4 * np.sqrt(given * (1 - given) / share.sum())).all()


def test_density_does_not_depend_on_the_order_with_exact_conditionals():
    """A hidden Markov chain: log p(x) = sum of log p(x_i | x_S) along any order."""
    x = jnp.array([[0, 1, 2, 2]] * 6)
    log_p, p = log_density(OrderAgnostic(3).model(HMM, (6, 4)), x)
    assert len({tuple(o) for o in np.asarray(p.order)}) > 3
    np.testing.assert_allclose(np.exp(log_p), 0.0082950000, rtol=1e-5)


def test_sites_that_are_not_real():
    """They come last, stay 0 and cost nothing; sites may have several axes."""
    mask = np.array([[[1, 0], [1, 1]], [[0, 1], [0, 0]]], bool)
    times = []

    @jax.tree_util.Partial
    def denoiser(x, t, cond):
        jax.debug.callback(lambda t: times.append(np.asarray(t)), t)
        return jnp.where(mask[..., None], jnp.log(jnp.array([0.2, 0.3, 0.5])), jnp.nan)

    model = OrderAgnostic(3).model(denoiser, (2, 2, 2), mask=mask)
    state, kept = run(KEY, start(KEY, model, 2), model.stages, keep=_x)
    jax.effects_barrier()
    x = state.p.x
    assert (np.sort(state.p.order[0])[[0, 1, 2, 3]] == np.arange(4)).all()
    assert state.p.order[0, 3] == 1 and state.p.order[1, 0] == 1
    assert (x[~mask] == 0).all() and (x < 3).all()
    hidden = [(step[0] == 3).reshape(2, -1).sum(1) for step in (k for part in kept for k in part[:, None])]
    np.testing.assert_array_equal(hidden, [[2, 0], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_allclose(sorted(t[0] for t in times), [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert sorted(t[1] for t in times) == [0, 0, 0, 1]
    log_p, _ = log_density(model, x)
    site = np.log([0.2, 0.3, 0.5])[np.asarray(x)]
    np.testing.assert_allclose(log_p, np.where(mask, site, 0).reshape(2, -1).sum(1), rtol=1e-5)


def _x(state):
    return state.p.x


def test_density_of_other_moves_is_zero():
    model = OrderAgnostic(2).model(discrete_denoiser(np.full((2, 2, 2), 1 / 8)), (4, 3), order=np.array([2, 0, 1]))
    x = jnp.array([[2, 2, 1], [2, 2, 2], [1, 2, 1], [2, 2, 0]])
    order = jnp.array([[2, 0, 1]] * 3 + [[2, 1, 0]])

    @jax.jit
    def log_prob(model):
        (kernel, inputs), _ = model.stages
        p, _ = model.init(jax.random.split(KEY, 4))
        return kernel.log_prob(p, OrderedParticle(x, p.logits, order), jax.tree.map(lambda a: a[0], inputs))

    np.testing.assert_allclose(np.exp(log_prob(model)), [0.5, 0, 0, 0], rtol=1e-6)


def test_parallel_steps():
    """Two sites in one step are independent given what shows."""
    table = np.random.default_rng(0).dirichlet(np.ones(8)).reshape(2, 2, 2)
    model = OrderAgnostic(2, (0, 1, 3)).model(discrete_denoiser(table), (8, 3), order=np.array([1, 0, 2]))
    log_p, p = log_density(model, jnp.asarray(all_states(3, 2)))
    pair = table / table.sum((0, 2), keepdims=True)
    expected = table.sum((0, 2))[None, :, None] * pair.sum(2, keepdims=True) * pair.sum(0, keepdims=True)
    np.testing.assert_allclose(np.exp(log_p), expected.ravel(), rtol=1e-5)


def test_budget_against_brute_force():
    for d in (1, 4, 8):
        cost = np.sort(np.random.default_rng(d).exponential(size=d))[::-1]
        for n in range(1, d + 1):
            totals = {}
            for inner in combinations(range(1, d), n - 1):
                b = (0, *inner, d)
                totals[b] = sum((t - s) * cost[s] for s, t in zip(b, b[1:], strict=False))
            budget = parallel_budget(cost, n)
            assert len(budget) == n + 1
            np.testing.assert_allclose(totals[budget], min(totals.values()), rtol=1e-12)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: parallel_budget(np.ones(4), 5), "steps=5 for 4 sites"),
        (lambda: OrderAgnostic(2, (0, 2)).model(inconsistent, (4, 3)), "for 3 sites"),
        (lambda: OrderAgnostic(2).model(inconsistent, (4, 2), order=np.arange(3)), "order has shape"),
        (lambda: sample(KEY, OrderAgnostic(3), inconsistent, (4, 2)), r"\(4, 2, 2\) for x of shape"),
    ],
)
def test_wrong_use(make, words):
    with pytest.raises(UsageError, match=words):
        make()


@dataclass(frozen=True)
class EvenFirst:
    """Even sites in any order, then odd ones in any order."""

    def draw(self, key, real):
        even = jnp.arange(real.shape[0]) % 2 == 0
        key_of = jax.random.uniform(key, real.shape) + jnp.where(even, 0, 1) + jnp.where(real, 0, 2)
        return jnp.argsort(key_of).astype(jnp.int32)

    def labels(self, real):
        return (jnp.arange(real.shape[0]) >= (real.shape[0] + 1) // 2).astype(int)


def test_other_laws_of_the_order():
    """Samples come in that order, and the bound is -log p(x) where conditionals are exact."""
    model = OrderAgnostic(3, orders=EvenFirst()).model(HMM, (64, 4))
    p, _ = model.init(jax.random.split(KEY, 64))
    assert (np.asarray(p.order)[:, :2] % 2 == 0).all() and (np.asarray(p.order)[:, 2:] % 2 == 1).all()
    assert 0 < (np.asarray(p.order)[:, 0] == 0).mean() < 1
    x = jnp.array([[0, 1, 2, 2]] * 8000)
    loss = jax.jit(lambda orders_key: order_agnostic_loss(orders_key, HMM, x, None, 3, orders=EvenFirst()))(KEY)
    np.testing.assert_allclose(loss, -np.log(0.0082950000), atol=0.03)
    exact = jax.jit(lambda key: order_agnostic_loss(key, inconsistent, x[:, :2] % 2, None, 2, orders=EvenFirst()))(KEY)
    np.testing.assert_allclose(exact, -np.log(0.06), rtol=1e-5)  # one order only: the chain rule along it
