"""Matrices, posteriors and reverse kernels against explicit matrix algebra."""

from dataclasses import replace
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.discrete import (
    Cosine,
    Linear,
    absorbing,
    cosine_steps,
    dense,
    discretised_gaussian,
    marginal,
    masked,
    steps,
    uniform,
)
from genkit.errors import UsageError

# A chain of 4 steps of 3 classes, with the law of x_0 that a network says
T4 = cosine_steps(4)
M = np.array([0.6, 0.3, 0.1])
P0 = np.array([0.2, 0.5, 0.3])
PRIORS = {
    "uniform": lambda alphas, **kw: uniform(3, steps(alphas), **kw),
    "marginal": lambda alphas, **kw: marginal(M, steps(alphas), **kw),
    "zeros": lambda alphas, **kw: absorbing(3, 0, steps(alphas), **kw),
}
BETAS = [0.2, 0.3, 0.5, 1.0]
RANDOM = np.random.default_rng(0).dirichlet(np.ones(4), (5, 4))
MASKED = masked(3, steps(T4))
PROCESSES = {
    **{name: make(T4) for name, make in PRIORS.items()},
    "masked": MASKED,
    "gaussian": discretised_gaussian(5, BETAS),
    "dense": dense(RANDOM),
}


def at(process, t, s=None):
    """Levels of Q_{t|s}, Qbar_s, Qbar_t."""
    bars, between = process.intervals(np.array([float(t), float(t - 1 if s is None else s)]))
    return (jax.tree.map(lambda a: a[0], between), *(jax.tree.map(lambda a, i=i: a[i], bars) for i in (1, 0)))


def matrix(process, level):
    return np.exp(process.row(level, jnp.arange(process.states)))


@jax.jit
def laws(process, step, earlier, bar, raw):
    """All that a process says between two times, for all states; under likelihood and plain."""
    x = jnp.arange(process.states)
    xt, x0 = jnp.meshgrid(x, x[: process.data_classes], indexing="ij")
    matrices = [jnp.exp(process.row(level, x)) for level in (step, earlier, bar)]
    columns = [jnp.exp(process.column(level, x)) for level in (step, earlier, bar)]
    reverse = []
    for likelihood in (True, False):
        plain = replace(process, likelihood=likelihood)
        log_p = plain.denoised(raw, x, bar)
        reverse.append((jnp.exp(log_p), jnp.exp(plain.reverse(step, earlier, bar, x, log_p))))
    return matrices, columns, jnp.exp(process.posterior(step, earlier, xt, x0)), reverse


def test_cosine_schedule():
    expected = """0 2.06423e-5 0.99997936; 1 2.30711e-5 0.99995629; 10 4.49367e-5 0.99963939; 100 2.65985e-4 0.98568539;
    250 6.63832e-4 0.91972169; 500 1.57909e-3 0.70163037; 750 3.79677e-3 0.37838954; 900 9.92013e-3 0.15367534;
    990 0.09999308 0.01402560; 998 0.49999939 1.55845e-3; 999 0.999 1.55845e-6"""
    alphas = cosine_steps(1000)
    for row in expected.split(";"):
        t, beta, bar = map(float, row.split())
        k = int(t) + 1
        np.testing.assert_allclose([1 - alphas[k] / alphas[k - 1], alphas[k]], [beta, bar], rtol=4e-6)
    np.testing.assert_allclose(1 - T4[1:] / T4[:-1], [0.07966736, 0.23642819, 0.45949904, 0.999], atol=6e-9)
    np.testing.assert_allclose(T4[1:], [0.92033264, 0.70274006, 0.37983168, 3.79832e-4], atol=6e-9)
    # float32 keeps what 1 - alpha loses
    level = steps(alphas).step
    np.testing.assert_allclose(np.exp(np.float32(level.renew[11])), 4.49367e-5, rtol=2e-6)


@pytest.mark.parametrize("schedule, end", [(Linear(), 0), (Linear(1e-3), 1e-3), (Cosine(), 0)])
def test_schedules_in_continuous_time(schedule, end):
    with jax.enable_x64(True):
        t = jnp.linspace(0.05, 0.95, 7)
        level = schedule.level(t)
        np.testing.assert_allclose(jnp.exp(level.keep) + jnp.exp(level.renew), 1, rtol=1e-14)
        slope = jax.vmap(jax.grad(lambda t: jnp.exp(schedule.level(t).keep)))(t)
        np.testing.assert_allclose(schedule.slope(t), slope, rtol=1e-12)
        np.testing.assert_allclose(schedule.level(np.asarray(t)).keep, level.keep, rtol=1e-14)
    ends = schedule.level(np.array([0.0, 1.0]))
    np.testing.assert_allclose(np.exp(ends.renew), [0, 1 - end], atol=1e-15)
    np.testing.assert_array_equal(schedule.grid(4), [1, 0.75, 0.5, 0.25, 0])


def test_cumulative_matrices():
    expected = {
        "uniform": np.full((3, 3), 0.20672277) + np.eye(3) * (0.58655445 - 0.20672277),
        "marginal": [
            [0.75193267, 0.18605050, 0.06201683],
            [0.37210099, 0.56588217, 0.06201683],
            [0.37210099, 0.18605050, 0.44184851],
        ],
        "zeros": [[1, 0, 0], [0.62016832, 0.37983168, 0], [0.62016832, 0, 0.37983168]],
    }
    with jax.enable_x64(True):
        for name, q in expected.items():
            np.testing.assert_allclose(matrix(PROCESSES[name], at(PROCESSES[name], 3)[2]), q, atol=6e-9)


@pytest.mark.parametrize(
    "name, xt, x0, expected",
    [
        ("uniform", 1, 1, (0.02587439, 0.94825122, 0.02587439)),
        ("uniform", 1, 0, (0.59409452, 0.33248958, 0.07341591)),
        ("uniform", 2, 1, (0.07341591, 0.59409452, 0.33248958)),
        ("marginal", 1, 1, (0.04344777, 0.94931094, 0.00724129)),
        ("marginal", 0, 1, (0.39122230, 0.58675293, 0.02202477)),
        ("zeros", 0, 1, (0.47932139, 0.52067861, 0)),
        ("zeros", 1, 1, (0, 1, 0)),
    ],
)
def test_posterior_of_a_short_chain(name, xt, x0, expected):
    with jax.enable_x64(True):
        _, _, posterior, _ = laws(PROCESSES[name], *at(PROCESSES[name], 3), np.zeros((3, 3)))
        np.testing.assert_allclose(posterior[xt, x0], expected, atol=6e-9)


@pytest.mark.parametrize(
    "name, xt, expected",
    [
        ("uniform", 0, (0.45564190, 0.32424691, 0.22011119)),
        ("uniform", 1, (0.15378087, 0.64037040, 0.20584873)),
        ("marginal", 0, (0.50425851, 0.31973826, 0.17600323)),
        ("zeros", 0, (0.58345711, 0.26033931, 0.15620358)),
        ("zeros", 1, (0, 1, 0)),
    ],
)
def test_reverse_kernel_of_a_short_chain(name, xt, expected):
    with jax.enable_x64(True):
        _, _, _, (_, (_, plain)) = laws(PROCESSES[name], *at(PROCESSES[name], 3), np.tile(np.log(P0), (3, 1)))
        np.testing.assert_allclose(plain[xt], expected, atol=6e-9)


def test_posterior_between_two_times():
    """Also in the closed form of Schiff et al. 2024 (arXiv 2412.10193) for uniform noise."""
    k, a_s, a_t, eye = 3, 0.6, 0.45, np.eye(3)
    schedule, raw = steps([1.0, a_s, a_t, 0.2, 0.1]), np.zeros((4, 3))
    with jax.enable_x64(True):
        process = uniform(k, schedule)
        _, _, q, _ = laws(process, *at(process, 2), raw[:3])
        expected = [[0.964912, 0.017544, 0.017544], [1 / 3, 20 / 33, 2 / 33], [1 / 3, 2 / 33, 20 / 33]]
        np.testing.assert_allclose(q[:, 0], expected, atol=5e-7)
        for xt, x0 in np.ndindex(k, k):
            z, x = eye[xt], eye[x0]
            top = k * a_t * z * x + (a_t / a_s - a_t) * z + (a_s - a_t) * x + (a_s - a_t) * (1 - a_s) / (k * a_s)
            np.testing.assert_allclose(q[xt, x0], top / (k * a_t * z @ x + 1 - a_t), rtol=1e-12)
        process = masked(k, schedule)
        (_, reverse), _ = laws(process, *at(process, 2), raw)[3]
        np.testing.assert_allclose(1 - reverse[3, 3], (a_s - a_t) / (1 - a_t), rtol=1e-12)
        np.testing.assert_allclose((a_s - a_t) / (1 - a_t), 0.272727, atol=5e-7)


@pytest.mark.parametrize("name", PROCESSES)
def test_bayes_by_brute_force(name):
    """All matrices are products of those of single steps; posteriors and reverse kernels follow by Bayes' rule."""
    process, length = PROCESSES[name], 5 if name == "dense" else 4
    states, classes = process.states, process.data_classes
    raw = np.log(np.random.default_rng(1).dirichlet(np.ones(classes), states))
    with jax.enable_x64(True):
        q = [np.asarray(laws(process, *at(process, t), raw)[0][0]) for t in range(1, length + 1)]
        for t, s in ((1, 0), (2, 1), (length, 1), (4, 2)):
            between, earlier = reduce(np.matmul, q[s:t]), reduce(np.matmul, q[:s], np.eye(states))
            bar = earlier @ between
            np.testing.assert_allclose(bar.sum(1), 1, rtol=1e-12)
            matrices, columns, posterior, reverse = laws(process, *at(process, t, s), raw)
            for expected, rows, column in zip((between, earlier, bar), matrices, columns, strict=True):
                np.testing.assert_allclose(rows, expected, atol=1e-12)
                np.testing.assert_allclose(column, expected.T, atol=1e-12)
            # q(x_s = k | x_t = j, x_0 = i) as [j, i, k]
            with np.errstate(invalid="ignore"):
                truth = between.T[:, None] * earlier[None, :classes] / bar.T[:, :classes, None]
            possible = bar.T[:, :classes] > 1e-20
            np.testing.assert_allclose(posterior[possible], truth[possible], atol=1e-12)
            # its mean under p(x_0 | x_t), which is the network's with or without the likelihood
            for (p, mean), factor in zip(reverse, (bar.T[:, :classes], 1.0), strict=True):
                expected = np.exp(raw) * np.where(possible, factor, 0)
                expected /= expected.sum(1, keepdims=True)
                np.testing.assert_allclose(p[:, :classes], expected, atol=1e-12)
                expected = np.einsum("jik,ji->jk", np.where(possible[..., None], truth, 0), expected)
                np.testing.assert_allclose(mean, expected, atol=1e-12)


def test_discretised_gaussian():
    process = discretised_gaussian(5, BETAS)
    q = np.exp(process.step[3])
    np.testing.assert_allclose(q, q.T, rtol=1e-12)
    np.testing.assert_allclose(q.sum(0), 1, rtol=1e-12)
    weight = np.exp(-4 * np.arange(-4, 5) ** 2 / (16 * BETAS[2]))
    np.testing.assert_allclose(q[1, 3], weight[6] / weight.sum(), rtol=1e-12)
    long = np.exp(discretised_gaussian(5, np.full(200, 0.5)).bars[-1])
    np.testing.assert_allclose(long, 0.2, atol=1e-6)


def test_single_precision_of_a_long_chain():
    alphas = cosine_steps(1000)
    process, k = uniform(55, steps(alphas)), 11
    x, x0 = jnp.array([3, 3, 0]), jnp.array([3, 0, 0])

    @jax.jit
    def both(process, step, earlier, bar):
        log_p = process.denoised(jnp.zeros((3, 55)), x, bar)
        return process.posterior(step, earlier, x, x0), process.reverse(step, earlier, bar, x, log_p)

    with jax.enable_x64(True):
        double = both(process, *at(process, k))
    single = both(process, *at(process, k))
    assert single[0].dtype == np.float32 and double[0].dtype == np.float64
    np.testing.assert_allclose(single, double, atol=5e-6)


@pytest.mark.parametrize("name", ["uniform", "gaussian"])
def test_no_matrix_for_a_site(name):
    """Nothing larger than sites x states beside the matrices that all sites share."""
    k, sites = 40, 30
    process = uniform(k, steps(T4)) if name == "uniform" else discretised_gaussian(k, BETAS)

    def reverse(raw, x):
        step, earlier, bar = at(process, 3)
        return process.reverse(step, earlier, bar, x, process.denoised(raw, x, bar))

    jaxpr = jax.make_jaxpr(reverse)(jnp.zeros((sites, k)), jnp.zeros(sites, int))
    largest = max(v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars)
    assert largest <= max(sites * k, k * k)


def test_network_times_likelihood():
    """A bias is the exact denoiser of independent sites, and what cannot lead to x_t vanishes."""
    with jax.enable_x64(True):
        for name in PRIORS:
            (_, _, q), _, _, ((p, _), _) = laws(PROCESSES[name], *at(PROCESSES[name], 3), np.tile(np.log(P0), (3, 1)))
            np.testing.assert_allclose(p, (P0[:, None] * q / (P0 @ q)).T, atol=1e-12)
    # logits that exclude all but the impossible: the likelihood alone
    raw = jnp.array([0.0, -jnp.inf, -jnp.inf])
    log_p = PRIORS["zeros"](T4).denoised(raw, jnp.array(2), at(PROCESSES["zeros"], 3)[2])
    np.testing.assert_array_equal(np.exp(log_p), [0, 0, 1])


def test_classes_by_site():
    allowed = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    process = uniform(4, Linear(), allowed)
    np.testing.assert_allclose(np.exp(process.log_prior), [[0.5, 0.5, 0, 0], [0.25] * 4])
    t, x = 0.4, jnp.array([[1, 3]])
    log_p = process.denoised(jnp.zeros((1, 2, 4)), x, process.bar(t))
    np.testing.assert_allclose(np.exp(log_p), [[[0.2, 0.8, 0, 0], [0.1, 0.1, 0.1, 0.7]]], rtol=1e-6)
    hidden = masked(4, Linear(), allowed)
    log_p = hidden.denoised(jnp.zeros((1, 2, 4)), jnp.array([[4, 4]]), hidden.bar(t))
    np.testing.assert_allclose(np.exp(log_p), [[[0.5, 0.5, 0, 0, 0], [0.25] * 4 + [0]]], rtol=1e-6)


@pytest.mark.parametrize(
    ("process", "prior"),
    [(marginal(M, Linear()), M), (absorbing(3, 1, Linear()), np.eye(3)[1]), (masked(3, Linear()), np.eye(4)[3])],
)
def test_perturb(process, prior):
    n, states = 40_000, len(prior)
    t = jnp.repeat(jnp.array([0.2, 0.7]), n // 2)
    x = process.perturb(jax.random.key(0), jnp.full((n, 1), 2), t).reshape(2, -1)
    for row, alpha in zip(x, (0.8, 0.3), strict=True):
        expected = alpha * np.eye(states)[2] + (1 - alpha) * prior
        error = np.bincount(row, minlength=states) / (n // 2) - expected
        assert (np.abs(error) <= 4 * np.sqrt(expected * (1 - expected) / (n // 2))).all()
    one = jax.vmap(lambda k: process.perturb(k, jnp.full((1, 2), 2), 0.3))(jax.random.split(jax.random.key(1), 4000))
    assert abs(np.mean(one == 2) - 0.7 - 0.3 * prior[2]) < 0.03  # one time for all, and sites that differ
    assert abs(np.corrcoef(one[:, 0, 0] == 2, one[:, 0, 1] == 2)[0, 1]) < 0.07


def test_what_fills_up_rows_never_comes_back():
    """Values that are none, at sites that are not real."""
    for process in (PROCESSES["zeros"], MASKED):
        x = process.perturb(jax.random.key(0), jnp.tile(jnp.array([-1, 99]), (50, 1)), jnp.float32(1e-3))
        assert (x == process.state).all()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: uniform(1, Linear()), "classes=1"),
        (lambda: absorbing(3, 3, Linear()), "state=3"),
        (lambda: marginal([0.5, -0.1], Linear()), "weights"),
        (lambda: uniform(2, Linear(), [[True, True], [False, False]]), "weights"),
        (lambda: dense(np.ones((2, 3, 3))), "rows that sum to 1"),
        (lambda: dense(RANDOM, prior=np.ones(3)), "prior has shape"),
        (lambda: discretised_gaussian(3, [0.0]), "betas"),
        (lambda: steps([0.5, 0.6]), "decrease"),
        (lambda: steps(T4).grid(9), "steps=9"),
        (lambda: Linear().grid(None), "steps=None"),
        (lambda: PROCESSES["uniform"].log_qbar(jnp.zeros((2, 1), int), 3), "int32"),
        (lambda: PROCESSES["uniform"].log_qbar(jnp.zeros((2, 1), int), jnp.ones(3)), "time has shape"),
        (
            lambda: PROCESSES["masked"].denoised(jnp.zeros((2, 4)), jnp.zeros(2, int), at(PROCESSES["masked"], 3)[2]),
            "logits",
        ),
    ],
)
def test_wrong_input(make, words):
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)
