"""Learned twisting, against the optimal one; chains driven by points, against the filter of Kalman."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import Kernel, run, start
from genkit.errors import UsageError
from genkit.smc import NormalChain, Resample, controlled, sqmc
from genkit.smc.sqmc import hilbert
from genkit.testing import LinearGaussian

KEY = jax.random.key(0)
LG = LinearGaussian(sy=0.5)
Y = np.sin(np.arange(1, 13))


def test_two_runs_find_the_optimal_twisting():
    """Where all is normal: then one particle gives the exact evidence."""
    with jax.enable_x64(True):
        chain, exact = LG.chain(Y), LG.information(Y)
        psi, log_z = jax.jit(lambda key: controlled(key, chain, 40, 2, Resample()))(KEY)
        np.testing.assert_allclose(psi.precision, exact.precision, rtol=1e-4)
        np.testing.assert_allclose(psi.shift, exact.shift, rtol=1e-4, atol=1e-4)
        model = chain.model(psi)
        end, _ = run(KEY, start(KEY, model, 1), model.stages)
        np.testing.assert_allclose(end.log_z, LG.kalman_loglik(Y), atol=1e-3)
        assert abs(log_z[0] - end.log_z) > abs(log_z[1] - end.log_z)


class Counts(Kernel):
    """Two independent walks, whose steps are seen through Poisson counts: no member of the class is optimal."""

    def normal(self, p, u):
        return 0.8 * p, 0.7

    def move(self, keys, p, u):
        return 0.8 * p + 0.7 * jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys)

    def log_g(self, p, p1, u):
        return (u * p1 - jnp.exp(p1)).sum(-1)


jax.tree_util.register_static(Counts)


def test_learned_twisting_is_unbiased_and_better():
    """Against the filter of many particles with the moves that see nothing."""
    y = np.random.default_rng(0).poisson(2.0, size=(8, 2)).astype(float)
    chain = NormalChain(np.zeros(2), 1.0, Counts(), y)

    @jax.jit
    def estimates(keys, psi):
        def one(key):
            model = chain.model(psi)
            return run(key, start(key, model, 64), model.stages, Resample())[0].log_z

        return jax.vmap(one)(keys)

    psi, _ = controlled(KEY, chain, 200, 3, Resample())
    nothing = jax.tree.map(jnp.zeros_like, psi)
    keys = jax.random.split(jax.random.key(1), 500)
    plain, learned = (np.asarray(estimates(keys, p), np.float64) for p in (nothing, psi))
    assert learned.std() < 0.3 * plain.std()
    a, b = np.exp(plain - learned.mean()), np.exp(learned - learned.mean())
    assert abs(a.mean() - b.mean()) < 4 * np.hypot(a.std(), b.std()) / 500**0.5


@pytest.mark.parametrize("d, bits", [(2, 3), (3, 2)])
def test_the_curve_visits_neighbours(d, bits):
    """Each cell once, each step to a cell that shares a side."""
    cells = np.array(list(itertools.product(range(2**bits), repeat=d)), np.uint32)
    number = np.asarray(hilbert(jnp.asarray(cells), bits))
    assert sorted(number) == list(range(2 ** (bits * d)))
    path = cells[np.argsort(number)].astype(int)
    assert (np.abs(np.diff(path, axis=0)).sum(1) == 1).all()


class Pair(Kernel):
    """Two independent copies of a linear-Gaussian model, side by side."""

    def normal(self, p, u):
        return LG.rho * p, LG.sx

    def move(self, keys, p, u):
        return LG.rho * p + LG.sx * jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys)

    def log_g(self, p, p1, u):
        return jax.scipy.stats.norm.logpdf(u, p1, LG.sy).sum(-1)


jax.tree_util.register_static(Pair)


@pytest.mark.parametrize(("copies", "n", "share"), [(1, 256, 0.15), (2, 1024, 0.4)])
def test_points_beat_draws(copies, n, share):
    """Evidence by points: unbiased over scramblings, with a fraction of the error of as many draws."""
    chain = LG.chain(Y) if copies == 1 else NormalChain(np.zeros(2), LG.variance**0.5, Pair(), np.stack([Y, Y], 1))

    def one(key, model):
        return run(key, start(key, model, n), model.stages, Resample(threshold=1.0))[0].log_z

    models = jax.tree.map(lambda *a: jnp.stack(a), *[sqmc(chain, n, seed) for seed in range(40)])
    log_z = np.asarray(jax.jit(jax.vmap(one, (None, 0)))(KEY, models), np.float64)
    ratio = np.exp(log_z - copies * LG.kalman_loglik(Y))
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / 40**0.5
    drawn = np.asarray(jax.jit(jax.vmap(one, (0, None)))(jax.random.split(KEY, 100), chain.model()))
    assert log_z.std() < share * drawn.std()


def test_errors():
    with pytest.raises(UsageError, match="n=100; expected a power of two"):
        sqmc(LG.chain(Y), 100, 0)
    with pytest.raises(UsageError, match="8 particles, but points for 16"):
        start(KEY, sqmc(LG.chain(Y), 16, 0), 8)
