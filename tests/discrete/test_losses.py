"""Losses against the exact values of the bounds, by enumeration."""

from itertools import chain, combinations, permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.discrete import (
    Cosine,
    Linear,
    absorbing,
    d3pm_loss,
    discretised_gaussian,
    hidden_nll,
    marginal,
    masked,
    masked_loss,
    order_agnostic_loss,
    prior_kl,
    steps,
    uniform,
)
from genkit.errors import UsageError
from genkit.testing import all_states, discrete_denoiser

KEY = jax.random.key(0)
Q = np.array([[0.5, 0.1], [0.15, 0.25]])
P0 = np.array([0.2, 0.5, 0.3])
X2 = jnp.asarray(all_states(2, 2))


def inconsistent(x, t, cond=None):
    """Conditionals of two bits that contradict one another: p(x1) p(x2 | x1) != p(x2) p(x1 | x2)."""
    second = jnp.log(jnp.array([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5]]))[x[:, 0]]
    first = jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4]]))[x[:, 1]]
    return jnp.stack([first, second], 1)


def order_agnostic_bound(denoiser, x0):
    """E over orders of -log p, by all sets of hidden sites: D / m times the mean over sets of m."""
    d, total = x0.shape[1], 0.0
    for hidden in chain.from_iterable(combinations(range(d), m) for m in range(1, d + 1)):
        where = jnp.broadcast_to(np.isin(np.arange(d), hidden), x0.shape)
        sets = sum(1 for _ in combinations(range(d), len(hidden)))
        nll = hidden_nll(denoiser, x0, where, jnp.full(len(x0), len(hidden) / d), None, 2)
        total += np.asarray(nll) * d / len(hidden) / sets / d
    return total


def test_bound_is_the_entropy_with_exact_conditionals():
    bound = order_agnostic_bound(discrete_denoiser(Q), X2)
    np.testing.assert_allclose(bound, -np.log(Q.ravel()), rtol=1e-6)
    np.testing.assert_allclose(bound @ Q.ravel(), 1.20797369, rtol=1e-6)


def test_bound_of_conditionals_that_contradict():
    q = np.array([0.4, 0.1, 0.1, 0.4])
    bound = order_agnostic_bound(inconsistent, X2)
    by_orders = []
    for order in permutations(range(2)):
        x, nll = np.full((4, 2), 2), 0.0
        for i in order:
            nll -= np.asarray(inconsistent(jnp.asarray(x), 0.0))[np.arange(4), i, X2[:, i]]
            x[:, i] = X2[:, i]
        by_orders.append(nll)
    np.testing.assert_allclose(bound, np.mean(by_orders, 0), rtol=1e-5)
    np.testing.assert_allclose(bound @ q, 1.26947507, rtol=1e-6)
    np.testing.assert_allclose(-np.log(np.exp(-np.array(by_orders)).mean(0)) @ q, 1.22438448, rtol=1e-6)


def batch(table, n):
    """All states, each in numbers in proportion."""
    return jnp.asarray(np.repeat(all_states(table.ndim, len(table)), np.rint(n * table.ravel()).astype(int), axis=0))


def within(loss, exact, keys=64):
    values = np.asarray(jax.jit(jax.vmap(loss))(jax.random.split(KEY, keys)))
    assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(keys) + 1e-5 * exact
    assert values.std() / np.sqrt(keys) < 0.03 * exact  # or the check above says little


@pytest.mark.parametrize("schedule", [Linear(), Linear(0.1), Cosine()])
def test_masked_loss(schedule):
    """-log p(x_0) with exact conditionals; whatever the schedule, if it ends in masks alone."""
    process, x0 = masked(2, schedule), batch(Q, 400)
    exact = 1.20797369
    if schedule == Linear(0.1):  # from t = 1 on some sites show: a bound on what is hidden only
        nll = [0.0, 0.0, 0.0]
        for m, sets in ((1, ([0], [1])), (2, ([0, 1],))):
            for hidden in sets:
                where = jnp.broadcast_to(np.isin(np.arange(2), hidden), x0.shape)
                nll[m] += float(hidden_nll(discrete_denoiser(Q), x0, where, 0.0, None, 2).mean())
        exact = 0.9 * nll[1] * (1 - 0.9 / 2) + nll[2] * 0.9**2 / 2
    within(lambda key: masked_loss(key, discrete_denoiser(Q), x0, None, process), exact)


def test_order_agnostic_loss_with_items_of_other_sizes():
    """Items of two and of one real site; what the network says elsewhere does not count."""
    x0 = jnp.concatenate([batch(Q, 200), batch(Q, 200) * jnp.array([1, 0])])
    x0 = jnp.pad(x0, ((0, 0), (0, 1)))
    mask = np.repeat([[1, 1, 0], [1, 0, 0]], 200, axis=0).astype(bool)

    def denoiser(x, t, cond):
        # the second site of the second half says nothing of the first
        seen = jnp.where(jnp.arange(400)[:, None] < 200, x[:, :2], x[:, :2].at[:, 1].set(2))
        return jnp.pad(discrete_denoiser(Q)(seen, t), ((0, 0), (0, 1), (0, 0)), constant_values=jnp.nan)

    first = -Q.sum(1) @ np.log(Q.sum(1))
    within(lambda key: order_agnostic_loss(key, denoiser, x0, None, 2, mask), (1.20797369 + first) / 2)
    within(lambda key: order_agnostic_loss(key, inconsistent, batch(Q, 400), None, 2), exact_inconsistent())


def exact_inconsistent():
    return order_agnostic_bound(inconsistent, X2) @ Q.ravel()


ALPHAS = np.array([1, 0.8, 0.5, 0.1])
CHAINS = {
    "uniform": uniform(3, steps(ALPHAS)),
    "plain": marginal([0.6, 0.3, 0.1], steps(ALPHAS), likelihood=False),
    "zeros": absorbing(3, 0, steps([1, 0.7, 0.0])),
    "gaussian": discretised_gaussian(3, [0.5, 1.0, 3.0]),
}
RAW = jnp.array([0.3, -0.5, 0.9])


def bias(x, t, cond=None):
    return RAW + 0.0 * t.reshape(-1, 1, 1) + jnp.zeros((*x.shape, 3))


@pytest.mark.parametrize("name", CHAINS)
def test_d3pm_loss(name):
    """The bound of one site from the laws of all its paths: E log q(x_1..x_T | x_0) / p(x_0..x_T)."""
    process = CHAINS[name]
    n, length = process.states, len(process.grid(None)) - 1
    _, between = process.intervals(np.arange(length, -1.0, -1))
    levels = [jax.tree.map(lambda a, k=k: a[length - k], between) for k in range(1, length + 1)]
    q = [np.exp(process.row(level, jnp.arange(n))) for level in levels]  # Q_1..Q_T
    bars = [np.eye(n)]
    for a in q:
        bars.append(bars[-1] @ a)
    reverse, nll = [], []
    for k in range(1, length + 1):
        p = np.exp(RAW) * (bars[k][:3].T if process.likelihood else bars[k][:3].T > 0)
        p = np.nan_to_num(p / p.sum(1, keepdims=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            posterior = np.nan_to_num(q[k - 1].T[:, None] * bars[k - 1][None, :3] / bars[k].T[:, :3, None])
            reverse.append(np.einsum("jik,ji->jk", posterior, p))
            nll.append(-np.log(p))
    prior, bound, ce = np.exp(process.log_prior), np.zeros(3), np.zeros(3)
    for x0 in range(3):
        for path in np.ndindex((n,) * length):
            states = (x0, *path)
            forward = np.prod([q[k][states[k], states[k + 1]] for k in range(length)])
            if forward > 1e-20:
                backward = prior[path[-1]] * np.prod([reverse[k][states[k + 1], states[k]] for k in range(length)])
                bound[x0] += forward * np.log(forward / backward)
        for k in range(1, length + 1):
            seen = bars[k][x0] > 1e-20
            ce[x0] += bars[k][x0][seen] @ nll[k - 1][seen, x0] / length
    kl = np.asarray(prior_kl(jnp.arange(3)[:, None], process))
    x0 = batch(P0, 500)
    exact = (0.5 * (bound - kl) + 2 * ce) @ P0
    within(lambda key: d3pm_loss(key, bias, x0, None, process, bound=0.5, ce=2.0), exact, keys=100)


def test_noise_that_the_prior_excludes_has_no_bound():
    assert np.isinf(prior_kl(jnp.array([[1]]), absorbing(3, 0, steps(ALPHAS)))).all()
    np.testing.assert_allclose(prior_kl(jnp.array([[1]]), CHAINS["zeros"]), 0, atol=1e-12)


def test_parts_masks_and_gradients():
    """A sum over parts; finite gradients where classes are excluded; sites that are not real say nothing."""
    process = {"a": CHAINS["zeros"], "b": masked(4, steps([1, 0.7, 0.0]))}
    x0 = {"a": jnp.array([[0, 1], [2, 0]]), "b": jnp.array([[3], [1]])}
    mask = {"a": jnp.array([True, False]), "b": jnp.array([True])}

    def loss(bias, key=KEY, process=process, x0=x0, mask=mask):
        def denoiser(x, t, cond):
            raw = jax.tree.map(lambda b, x: b + jnp.zeros((*x.shape, len(b))), bias, x)
            return {**raw, "a": raw["a"].at[:, 1].set(jnp.nan)} if "a" in raw else raw

        return d3pm_loss(key, denoiser, x0, None, process, mask)

    bias = {"a": RAW, "b": jnp.array([0.0, 1.0, -jnp.inf, 0.5])}
    value, gradient = jax.jit(jax.value_and_grad(loss))(bias)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert np.abs(gradient["a"]).max() > 0 and np.abs(gradient["b"]).max() > 0

    def nll(bias, hidden):
        def denoiser(x, t, cond):
            return (bias + jnp.zeros((*x.shape, 4))).at[0].set(jnp.nan)

        return hidden_nll(denoiser, x0["b"], hidden, 0.5, None, 4).sum()

    gradient = jax.grad(nll)(bias["b"], jnp.array([[False], [True]]))
    assert np.isfinite(gradient).all() and gradient[1] < 0


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: masked_loss(KEY, bias, X2, None, masked(3, steps([1, 0.5]))),
            "masked_loss needs a process in continuous time",
        ),
        (lambda: d3pm_loss(KEY, bias, X2, None, uniform(3, Linear())), "d3pm_loss needs a process in discrete time"),
        (lambda: d3pm_loss(KEY, bias, X2, None, CHAINS["uniform"].schedule), "discrete time"),
        (lambda: d3pm_loss(KEY, bias, [X2] * 2, None, [CHAINS["uniform"], CHAINS["zeros"]]), r"\[2, 3\] steps"),
        (lambda: order_agnostic_loss(KEY, bias, X2, None, 2), r"\(4, 2, 3\) for x of shape \(4, 2\)"),
    ],
)
def test_wrong_use(make, words):
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
