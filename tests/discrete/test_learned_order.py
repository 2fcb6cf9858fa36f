"""Learned orders (LO-ARM) on lattices that are enumerated: bound, gradient, samples."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.discrete import LEARNED_ORDER, OrderAgnostic, Ordered, learned_order_loss, order_agnostic_loss, sample
from genkit.discrete.learned_order import bound_of_two
from genkit.errors import UsageError
from genkit.steer import FADG, guide
from genkit.testing import all_states

KEY = jax.random.key(0)
D, K = 3, 2
X = jnp.asarray(all_states(D, K))
ORDERS = np.array(list(permutations(range(D))))
ONE_OF = jnp.array([1, K + 1, (K + 1) ** 2])  # partly hidden states are rows of a table


class Table:
    """Logits, policy and posterior of every partly hidden state, which agree with no law."""

    def __init__(self, values, policy, posterior):
        self.values, self.policy, self.posterior = values, policy, posterior

    def __call__(self, x, t, cond=None):
        at = (x * ONE_OF).sum(1)
        return Ordered(self.values[at], self.policy[at], self.posterior[at])


jax.tree_util.register_pytree_node(
    Table, lambda a: ((a.values, a.policy, a.posterior), None), lambda _, leaves: Table(*leaves)
)
rng = np.random.default_rng(0)
STATES = (K + 1) ** D
TABLE = Table(
    jnp.asarray(rng.normal(size=(STATES, D, K))),
    jnp.asarray(rng.normal(size=(STATES, D))),
    jnp.asarray(rng.normal(size=(STATES, D))),
)


@jax.jit
def all_along(table):
    """log p(z), log p(x | z) and log q(z | x), by the definition: (3, orders, items)."""

    def along(order, x):
        hidden, state, total = jnp.ones(D, bool), jnp.full(D, K), jnp.zeros(3)
        posterior = table(x[None], None).posterior[0]
        for site in order:
            said = table(state[None], None)
            chosen = [a[site] - jax.nn.logsumexp(a, where=hidden) for a in (said.policy[0], posterior)]
            value = jax.nn.log_softmax(said.logits[0, site])[x[site]]
            total = total + jnp.stack([chosen[0], value, chosen[1]])
            hidden, state = hidden.at[site].set(False), state.at[site].set(x[site])
        return total

    return jnp.moveaxis(jax.vmap(lambda order: jax.vmap(lambda x: along(order, x))(X))(jnp.asarray(ORDERS)), -1, 0)


def bounds(table):
    """sum over z of q(z | x) [log p(x, z) - log q(z | x)] of all items."""
    log_z, log_x, log_q = all_along(table)
    return (jnp.exp(log_q) * (log_z + log_x - log_q)).sum(0)


def of_all_draws(table, constant):
    """The expectation of what training computes over both orders and the number of visible sites, by their laws."""
    first, second, shown, item = (a.ravel() for a in np.indices((6, 6, D, len(X))))
    x, orders = X[item], jnp.asarray(np.stack([ORDERS[first], ORDERS[second]]))
    law = jnp.exp(all_along(constant)[2])
    weights = law[first, item] * law[second, item] / D / len(X)
    log_q = table.posterior[(x * ONE_OF).sum(1)]
    terms = bound_of_two(table, x, None, K, jnp.ones(x.shape, bool), None, log_q, orders, jnp.asarray(shown))
    return (weights * terms).sum()


def test_bound_and_its_gradient_over_all_draws():
    """Both are exact in expectation: of values, policy and posterior, of which the score has a part."""
    exactly, gradient = jax.jit(jax.value_and_grad(lambda table: bounds(table).mean()))(TABLE)
    value, estimated = jax.jit(jax.value_and_grad(of_all_draws))(TABLE, TABLE)
    np.testing.assert_allclose(value, exactly, rtol=1e-5)
    for name in ("values", "policy", "posterior"):
        assert float(jnp.abs(getattr(gradient, name)).max()) > 1e-3
        np.testing.assert_allclose(getattr(estimated, name), getattr(gradient, name), atol=2e-6)
    log_z, log_x, log_q = all_along(TABLE)
    log_p = jax.nn.logsumexp(log_z + log_x, axis=0)
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1, rtol=1e-5)
    assert (bounds(TABLE) < log_p - 1e-3).all()


def test_the_loss_is_the_bound():
    x = jnp.tile(X, (5000, 1))
    found = jax.jit(learned_order_loss, static_argnums=4)(KEY, TABLE, x, None, K)
    np.testing.assert_allclose(-found, bounds(TABLE).mean(), atol=0.03)


def test_no_gap_where_the_posterior_is_that_of_the_model():
    """Of two sites every law of orders is Plackett-Luce: with p(z | x) as posterior the bound is log p(x)."""
    pair = all_states(2, K)
    at = (pair * np.array([1, 3])).sum(1)
    values, policy = rng.normal(size=(9, 2, K)), rng.normal(size=(9, 2))
    said = [np.log(np.exp(a) / np.exp(a).sum(-1, keepdims=True)) for a in (values, policy)]
    log_p, posterior = np.zeros(4), np.zeros((9, 2))
    for row, (a, b) in zip(at, pair, strict=True):
        one = said[1][8, 0] + said[0][8, 0, a] + said[0][a + 6, 1, b]
        two = said[1][8, 1] + said[0][8, 1, b] + said[0][2 + 3 * b, 0, a]
        posterior[row] = one, two
        log_p[(at == row).argmax()] = np.logaddexp(one, two)
    table = Table(*map(jnp.asarray, (values, policy, posterior)))

    def denoiser(x, t, cond=None):
        rows = (x * jnp.array([1, 3])).sum(1)
        return Ordered(table.values[rows], table.policy[rows], table.posterior[rows])

    one, two, shown, item = (jnp.asarray(a.ravel()) for a in np.indices((2, 2, 2, 4)))
    orders = jnp.array([[0, 1], [1, 0]])
    share, log_q = jax.nn.softmax(table.posterior[at], -1)[item], table.posterior[at][item]
    real = jnp.ones((len(item), 2), bool)
    terms = bound_of_two(
        denoiser, jnp.asarray(pair)[item], None, K, real, None, log_q, orders[jnp.stack([one, two])], shown
    )
    weights = jnp.take_along_axis(share, one[:, None], 1)[:, 0] * jnp.take_along_axis(share, two[:, None], 1)[:, 0] / 2
    np.testing.assert_allclose((weights * terms).reshape(8, 4).sum(0), log_p, rtol=1e-5)


def test_uniform_choices_are_those_of_ardm():
    """The bound of every item, not its mean alone: each is D times the mean over the hidden sites."""
    flat = Table(TABLE.values, jnp.zeros((STATES, D)), jnp.full((STATES, D), 0.7))
    log_z, log_x, log_q = all_along(flat)
    np.testing.assert_allclose(bounds(flat), log_x.mean(0), rtol=1e-5)
    n = 40_000
    x = jnp.tile(X, (n // len(X), 1))
    ours = jax.jit(learned_order_loss, static_argnums=4)(KEY, flat, x, None, K)
    theirs = jax.jit(order_agnostic_loss, static_argnums=(1, 4))(KEY, lambda x, t, cond: flat(x, t).logits, x, None, K)
    np.testing.assert_allclose([-ours, -theirs], log_x.mean(), atol=0.02)


def shares(x, weights=None):
    return np.bincount(np.asarray((x * jnp.array([4, 2, 1])).sum(1)), weights, 8)


def test_samples_and_orders_have_the_law_of_the_model():
    n = 40_000
    log_z, log_x, _ = all_along(TABLE)
    law = np.exp(log_z + log_x)
    model = OrderAgnostic(K, orders=LEARNED_ORDER).model(TABLE, (n, D))
    p = run(KEY, start(KEY, model, n), model.stages)[0].p
    for k, order in enumerate(ORDERS):
        found = shares(np.asarray(p.x)[(np.asarray(p.order) == order).all(1)]) / n
        assert (np.abs(found - law[k]) < 4.5 * np.sqrt(law[k] / n)).all()


def test_particles_keep_their_choices():
    """FADG with a learned order tends to p(x) W(x) / Z: here all items with a first site of 1 are wanted."""
    log_z, log_x, _ = all_along(TABLE)
    law = np.where(np.asarray(X)[:, 0] == 1, np.exp(log_z + log_x).sum(0), 0)

    def says(x, t, cond=None):
        return jnp.where(x[:, 0] == 0, -jnp.inf, 0.0)

    found = guide(KEY, FADG(8), OrderAgnostic(K, orders=LEARNED_ORDER), TABLE, says, (3000, D), draws=None)
    got = shares(found.x.reshape(-1, D), np.exp(np.asarray(found.log_w)).ravel())
    np.testing.assert_allclose(got / got.sum(), law / law.sum(), atol=0.02)
    assert np.mean(np.exp(np.asarray(found.log_z))) == pytest.approx(law.sum(), abs=0.01)


def test_sites_that_are_not_real():
    """They are never chosen and count nothing, whatever is said of them."""
    mask = jnp.array([[True, False, True]])
    loud = Table(TABLE.values, TABLE.policy.at[:, 1].set(50.0), TABLE.posterior.at[:, 1].set(50.0))
    real = X[X[:, 1] == 0]
    loss = jax.jit(lambda key, table: learned_order_loss(key, table, jnp.tile(real, (4, 1)), None, K, mask))
    values = np.array([[loss(key, table) for table in (TABLE, loud)] for key in jax.random.split(KEY, 3)])
    np.testing.assert_allclose(values[:, 0], values[:, 1], rtol=1e-5)
    x = sample(KEY, OrderAgnostic(K, orders=LEARNED_ORDER), loud, (64, D), mask=mask)
    assert (x[:, 1] == 0).all() and (x < K).all()


def test_a_hard_order():
    """Logits of -inf at sites that must wait are as very small ones, and no NaN."""
    first = jnp.where(jnp.arange(D) == 0, 0.0, -1.0)

    def loss(least):
        table = Table(
            TABLE.values,
            jnp.tile(jnp.where(first < 0, -least, 0.0), (STATES, 1)),
            jnp.tile(jnp.where(first < 0, -least, 0.0), (STATES, 1)),
        )
        return jax.value_and_grad(lambda t: learned_order_loss(KEY, t, X, None, K))(table)

    (hard, gradient), (soft, _) = loss(jnp.inf), loss(1e4)
    np.testing.assert_allclose(hard, soft, rtol=1e-5)
    assert jnp.isfinite(gradient.values).all() and jnp.abs(gradient.values).max() > 0


def test_wrong_use():
    def plain(x, t, cond=None):
        return TABLE(x, t).logits

    def deep(x, t, cond=None):
        return TABLE(x, t)._replace(policy=jnp.zeros((*x.shape, 1)))

    for denoiser, words in ((plain, "expected Ordered"), (deep, "policy has shape")):
        with pytest.raises(UsageError, match=words):
            learned_order_loss(KEY, denoiser, X, None, K)
        with pytest.raises(UsageError, match=words):
            sample(KEY, OrderAgnostic(K, orders=LEARNED_ORDER), denoiser, (4, D))
    with pytest.raises(UsageError, match="its loss is learned_order_loss"):
        order_agnostic_loss(KEY, plain, X, None, K, orders=LEARNED_ORDER)
    with pytest.raises(UsageError, match="the order is learned"):
        OrderAgnostic(K, orders=LEARNED_ORDER, confident=True).model(TABLE, (4, D))
