"""Annealed importance sampling, parallel tempering and bridges, against integrals in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import HMC, AnnealedImportance, ParallelTempering, RandomWalk, bridge
from genkit.testing.conjugate import LOG_Z, draw, log_p, log_p0

KEY = jax.random.key(0)


def test_bridge_of_two_normals():
    """3 N(.5, 1) over N(0, 1), and half of a normal, whose ratio is 1 / 2; a constant moves it by just that."""
    rng, n = np.random.default_rng(0), 4000
    x0, x1 = rng.normal(size=n), 0.5 + rng.normal(size=n)
    here, there = (np.log(3) + 0.5 * x - 0.125 for x in (x0, x1))
    r, error = jax.jit(bridge)(here, there)
    assert abs(r - np.log(3)) < 4 * error and 0.003 < error < 0.02
    # importance sampling from one side has a variance of e^.25 - 1 = .284 over n; the bridge may only be better
    assert error < (0.284 / n) ** 0.5
    np.testing.assert_allclose(jax.jit(bridge)(here + 100, there + 100)[0], r + 100, rtol=1e-6)
    half = np.where(x0 > 0, 0.0, -np.inf)
    r, error = jax.jit(bridge)(half, np.zeros(n))
    assert abs(r - np.log(0.5)) < 4 * error and error < 0.02


def test_annealed_importance_is_unbiased():
    sampler = AnnealedImportance(RandomWalk(accept=None), 10, steps=2)

    def one(key, shift):
        state = sampler.run(key, 64, draw, log_p0, lambda x: log_p(x) + shift)
        w = jnp.exp(state.log_w)
        return state.log_z, w @ state.p.x[:, 0], state.resampled, state.shared.exponents

    runs = jax.jit(jax.vmap(one, in_axes=(0, None)))
    log_z, mean, resampled, exponents = runs(jax.random.split(KEY, 400), 0.0)
    ratio = np.exp(np.asarray(log_z, np.float64) - LOG_Z)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20 and 0.01 < ratio.std() < 0.3
    assert abs(mean.mean() - 1.6) < 4 * mean.std() / 20 + 1 / 64
    assert not resampled.any()
    np.testing.assert_allclose(exponents[0], (np.arange(1, 11) / 10) ** 4, rtol=1e-5)
    np.testing.assert_allclose(runs(jax.random.split(KEY, 400), 3.0)[0], log_z + 3, rtol=1e-5, atol=1e-4)


def test_parallel_tempering():
    """Two modes far apart, one of 0.3; exponents that make all swaps equally likely."""
    sampler = ParallelTempering(RandomWalk(), rungs=6, sweeps=60, steps=2)

    def wide(key):
        return 4 * jax.random.normal(key, (1,))

    def log_wide(x):
        return jax.scipy.stats.norm.logpdf(x, scale=4.0).sum()

    def modes(x, shift):
        pair = jnp.array([-6.0, 6.0])
        return jax.nn.logsumexp(jax.scipy.stats.norm.logpdf(x, pair, 0.5) + jnp.log(jnp.array([0.3, 0.7]))) + shift

    run = jax.jit(lambda key, shift: sampler.run(key, 100, wide, log_wide, lambda x: modes(x, shift)))
    found, moved = run(KEY, 0.0), run(KEY, 5.0)
    assert abs(found.log_z) < 0.15 and 0 < found.error < 0.05
    assert moved.log_z - found.log_z == pytest.approx(5, abs=2e-3)
    x = np.asarray(found.x)
    assert x.shape == (60, 100, 1) and abs((x < 0).mean() - 0.3) < 0.06
    assert abs(x[x > 0].mean() - 6) < 0.03 and abs(x[x > 0].std() - 0.5) < 0.03
    assert found.exponents[0] == 0 and found.exponents[-1] == 1 and (np.diff(found.exponents) > 0).all()
    assert found.reject.min() > 0.1 and np.ptp(found.reject) < 0.15


def test_moves_where_one_particle_has_all_the_weight():
    """The density is far out, N(11.9, .1^2): those without weight are moved there as well, by steps as wide as they."""
    sampler = AnnealedImportance(RandomWalk(accept=None), 20, power=1.0)

    @jax.jit
    def run(key):
        state = sampler.run(key, 64, draw, log_p0, lambda x: log_p0(x) - 0.5 * jnp.sum((x - 12) ** 2) / 0.01)
        return state.shared.ess, state.shared.accept, state.p.x.mean()

    size, accept, mean = map(np.asarray, run(KEY))
    assert size[0] < 2 and accept[0] < 0.9 and mean > 8


def test_the_ladder_rests_before_it_is_measured():
    """Few sweeps of short moves: log Z within its standard error, over runs."""
    sampler = ParallelTempering(RandomWalk(step=0.4, accept=None), rungs=4, sweeps=12, rounds=1)
    run = jax.jit(jax.vmap(lambda key: sampler.run(key, 50, draw, log_p0, log_p)))
    found = run(jax.random.split(KEY, 100))
    log_z = np.asarray(found.log_z, np.float64)
    assert abs(log_z.mean() - LOG_Z) < 4 * log_z.std() / 10


def test_undefined_states_of_parallel_tempering():
    """A density that is NaN below zero, as one that is zero there; half of all draws from p0 meet it."""
    sampler = ParallelTempering(RandomWalk(), rungs=3, sweeps=4, rounds=1)

    def half(x, below):
        return jnp.where(x[0] > 0, log_p0(x), below)

    with pytest.warns(RuntimeWarning, match="ParallelTempering: .* met a potential of NaN"):
        found = sampler.run(KEY, 40, draw, log_p0, lambda x: half(x, jnp.nan))
    assert abs(found.undefined - 40 * (3 + 8) / 2) < 4 * (40 * 11 / 4) ** 0.5
    zero = sampler.run(KEY, 40, draw, log_p0, lambda x: half(x, -jnp.inf))
    assert not zero.undefined and zero.log_z == found.log_z


def test_errors():
    with pytest.raises(UsageError, match="temperatures=0 and steps=1 must be at least 1"):
        AnnealedImportance(HMC(), 0)
    with pytest.raises(UsageError, match="rungs=1 must be at least 2"):
        ParallelTempering(rungs=1)
