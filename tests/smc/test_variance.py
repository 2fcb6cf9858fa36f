"""Variance told from one run against the spread of many."""

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import run, start
from genkit.smc import Resample, evidence_variance, founders, variance
from genkit.testing import LinearGaussian

KEY = jax.random.key(0)
LG = LinearGaussian(sy=0.5)
Y = np.sin(np.arange(1, 41))


def test_by_hand():
    log_w = jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4]))
    eve, phi = jnp.array([0, 0, 3, 3]), jnp.array([1.0, 2.0, 3.0, 4.0])  # mean 3
    np.testing.assert_allclose(variance(log_w, eve, phi), 0.4**2 + 0.4**2, rtol=1e-5)
    np.testing.assert_allclose(variance(log_w, eve, jnp.stack([phi, phi + 1], 1)), [0.32, 0.32], rtol=1e-5)
    np.testing.assert_allclose(evidence_variance(log_w, eve, 2), 1 - (4 / 3) ** 3 * (1 - 0.3**2 - 0.7**2), atol=3e-7)
    ancestors = jnp.array([[3, 2, 1, 0], [0, 0, 1, 2], [1, 1, 2, 3]])
    np.testing.assert_array_equal(founders(ancestors, 1), [1, 1, 2, 3])
    np.testing.assert_array_equal(founders(ancestors, 2), [0, 0, 1, 2])
    for lag in (3, 9):
        np.testing.assert_array_equal(founders(ancestors, lag), [3, 3, 2, 1])


def keep(state):
    return state.ancestors


def many(y, n, runs, lag):
    model = LG.bootstrap(y)

    def one(key):
        state, kept = run(key, start(key, model, n), model.stages, Resample("multinomial", 1.0), keep)
        assert kept is not None
        w, back = jnp.exp(state.log_w), founders(kept[0], lag)
        return (
            state.log_z,
            evidence_variance(state.log_w, state.eve, len(y) - 1),
            w @ state.p,
            variance(state.log_w, state.eve, state.p),
            variance(state.log_w, back, state.p),
        )

    return [np.asarray(a, np.float64) for a in jax.jit(jax.vmap(one))(jax.random.split(KEY, runs))]


def test_variance_of_a_short_run():
    """Of Z, without bias; of the filter mean."""
    runs = 1000
    log_z, v_z, mean, v, _ = many(Y[:6], 100, runs, 6)
    z = np.exp(log_z - LG.kalman_loglik(Y[:6]))
    difference = (z - 1) ** 2 - z**2 * v_z
    assert abs(difference.mean()) < 4 * difference.std() / runs**0.5 and (z**2 * v_z).mean() > 0.5 * z.var()
    spread = mean.var()
    assert abs(v.mean() / spread - 1) < 4 * (2 / runs) ** 0.5 + 0.05


def test_variance_of_a_long_run_needs_a_lag():
    runs = 400
    _, _, mean, eve, lagged = many(Y, 100, runs, 5)
    assert eve.mean() < 0.7 * mean.var()
    assert abs(lagged.mean() / mean.var() - 1) < 4 * (2 / runs) ** 0.5
