"""The particle denoising diffusion sampler, against normals in closed form."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genkit.chain import callable_tree, run, start
from genkit.errors import UsageError
from genkit.steer import PDDS, MonteCarloPotential
from genkit.steer.pdds import Particle, langevin
from genkit.tree import register_dataclass

KEY = jax.random.key(0)


@register_dataclass
@dataclass(frozen=True)
class Normal:
    """exp(shift) N(m, v^2 I) with its exact potential, a callable of both kinds."""

    m: float = 2.75
    v: float = 0.25
    shift: float = 0.0

    def __call__(self, x, lam=None):
        if lam is None:
            return jax.scipy.stats.norm.logpdf(x, self.m, self.v).sum() + self.shift
        lam = jnp.atleast_1d(lam)[:, None]
        mean, sd = jnp.sqrt(1 - lam) * self.m, jnp.sqrt(lam + (1 - lam) * self.v**2)
        marginal = jax.scipy.stats.norm.logpdf(x, mean, sd) - jax.scipy.stats.norm.logpdf(x)
        return marginal.sum(1) + self.shift


def log_g(x, lam, m, v):
    """By the formula of the paper."""
    a, b = lam + v**2 * (1 - lam), lam * m + v**2 * np.sqrt(1 - lam) * x
    c = lam * m**2 + (1 - lam) * v**2 * x**2
    return -np.log(a) / 2 - (c - b**2 / a) / (2 * v**2 * lam)


def test_the_potential_of_a_normal():
    x = np.linspace(-2, 3, 7)
    for lam in (0.05, 0.4, 0.999):
        np.testing.assert_allclose(Normal()(x[:, None], lam), log_g(x, lam, 2.75, 0.25), rtol=1e-4, atol=1e-4)


def test_the_schedule():
    t = np.linspace(0, 1, 9)
    lam, model = PDDS.noise(t), PDDS(8).model(Normal(), 1)
    assert lam[0] == 0 and lam[-1] == 1 and (np.diff(lam) > 0).all()
    np.testing.assert_allclose(lam[1:], 1 - np.cos(np.pi / 2 * (t[1:] + 0.008) / 1.008) ** 2, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(PDDS.noise(t.astype(np.float32), jnp), lam, atol=1e-6)
    grid = jax.tree.map(lambda *a: np.concatenate(a), *(u for _, u in model.stages))
    np.testing.assert_allclose((1 - grid.arrives) * (1 - grid.between), 1 - grid.leaves, rtol=1e-9, atol=1e-15)
    assert PDDS(8, moves=2).calls() == 1 + 8 * 3


def test_weights_are_those_of_the_paths():
    """log of forward times density over backward, along kept paths, for a potential that fits nothing."""
    model = PDDS(5, threshold=0.0).model(Normal(0.5, 0.7), 2, Normal(-1.0, 1.5))
    begin = start(KEY, model, 50)
    end, kept = run(KEY, begin, model.stages, keep=lambda s: (s.p.x, s.p.gain))
    x = np.concatenate([np.asarray(begin.p.x)[None], *(np.asarray(k[0]) for k in kept)])
    gain = np.concatenate([np.asarray(begin.p.gain)[None], *(np.asarray(k[1]) for k in kept)])
    t = np.linspace(1, 0, 6)
    between = PDDS.noise(t[1:]), PDDS.noise(t[:-1])
    total = stats.norm.logpdf(x[-1], 0.5, 0.7).sum(1) - stats.norm.logpdf(x[0]).sum(1)
    for before, after, s, u in zip(x, x[1:], *between, strict=False):
        lam = 1 - (1 - u) / (1 - s)
        sd = np.sqrt(u + (1 - u) * 1.5**2)
        grad = before + (np.sqrt(1 - u) * -1.0 - before) / sd**2  # of the potential
        forward = stats.norm.logpdf(before, np.sqrt(1 - lam) * after, np.sqrt(lam))
        backward = stats.norm.logpdf(after, np.sqrt(1 - lam) * before + lam * grad, np.sqrt(lam))
        total += (forward - backward).sum(1)
    np.testing.assert_allclose(gain.sum(0), total, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(end.log_z, np.logaddexp.reduce(total) - np.log(50), rtol=1e-4, atol=1e-3)


def many(sampler, n, target, potential=None, runs=400):
    def one(key, shift):
        p = Normal(target.m, target.v, shift)
        state = sampler.run(key, n, p, 1, potential)
        w = jnp.exp(state.log_w)
        return state.log_z, w @ state.p.x[:, 0]

    return jax.jit(jax.vmap(one, in_axes=(0, None))), jax.random.split(KEY, runs)


def test_the_exact_potential_leaves_the_error_of_the_steps():
    """On N(2.75, .25^2), the test of the paper: unbiased, and with more steps better."""
    sd = {}
    for steps in (16, 64):
        call, keys = many(PDDS(steps), 250, Normal(), Normal(), 100)
        log_z, mean = (np.asarray(a, np.float64) for a in call(keys, 0.0))
        z = np.exp(log_z)
        assert abs(z.mean() - 1) < 4 * z.std() / 10
        assert abs(mean.mean() - 2.75) < 4 * mean.std() / 10 + 0.002
        sd[steps] = log_z.std()
    assert sd[64] < 0.6 * sd[16] < 0.09


@pytest.mark.parametrize("kind", ["naive", "monte_carlo"])
def test_z_is_unbiased_whatever_the_potential(kind):
    target = Normal(0.5, 0.7)
    noise = np.random.default_rng(0).normal(size=(4, 1)).astype(np.float32)
    potential = MonteCarloPotential(callable_tree(target), noise) if kind == "monte_carlo" else None
    call, keys = many(PDDS(6, moves=2 if kind == "naive" else 0, threshold=0.9), 100, target, potential)
    log_z, mean = (np.asarray(a, np.float64) for a in call(keys, 0.0))
    z = np.exp(log_z)
    assert abs(z.mean() - 1) < 4 * z.std() / 20 and 0.005 < z.std() < 0.5
    assert abs(mean.mean() - 0.5) < 4 * mean.std() / 20 + 1 / 100
    if kind == "naive":
        np.testing.assert_allclose(call(keys, 7.0)[0], log_z + 7, atol=1e-4)


def test_a_potential_that_is_zero_everywhere_is_flagged():
    """The naive one looks at x_0 = 0 first, where this density is zero."""

    def half(x):
        return jnp.where(x[0] > 0, jax.scipy.stats.norm.logpdf(x).sum(), -jnp.inf)

    state = jax.jit(lambda key: PDDS(8).run(key, 100, half, 1))(KEY)
    assert state.collapsed and state.log_z == -jnp.inf and not np.isnan(state.log_w).any()


def test_moves_do_not_go_where_the_potential_is_infinite():
    """Ten moves at N(0, 1) with a potential that is +inf above 1."""

    def log_g(x, lam):
        return jnp.where(x[:, 0] > 1, jnp.inf, 0.0)

    x = jnp.zeros((100, 1))
    begin = Particle(x, jnp.zeros(100), x, jnp.zeros(100))
    half = jnp.float32(0.5)
    move = jax.jit(lambda keys: langevin(keys, begin, callable_tree(log_g), half, half, 10))
    end = move(jax.random.split(KEY, 100))
    assert end.x.max() <= 1 and np.isfinite(end.log_g).all() and end.x.std() > 0.3


def test_errors():
    with pytest.raises(UsageError, match="steps=0 must be at least 1"):
        PDDS(0)
    with pytest.raises(UsageError, match=r"threshold=2 in \[0, 1\]"):
        PDDS(threshold=2)
