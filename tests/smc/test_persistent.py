"""Persistent sampling against integrals in closed form."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import PersistentSampling, RandomWalk, ess
from genkit.testing.conjugate import LOG_Z, draw, log_p, log_p0

KEY = jax.random.key(0)
SAMPLER = PersistentSampling(RandomWalk(), 3, 0.9, max_steps=20)


def many(sampler, n, runs=100):
    return jax.jit(jax.vmap(lambda key: sampler.run(key, n, draw, log_p0, log_p)))(jax.random.split(KEY, runs))


def test_evidence_and_posterior():
    """Nearly unbiased; the particles of all steps give smaller errors than those of the last one."""
    state = many(SAMPLER, 128)
    ratio = np.exp(np.asarray(state.log_z, np.float64) - LOG_Z)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 10 + 1 / 128 and ratio.std() < 0.2
    assert (state.shared.exponent == 1).all() and not state.collapsed.any() and (state.t < 20).all()
    w, x = np.exp(np.asarray(state.log_w, np.float64)), np.asarray(state.p.x[..., 0], np.float64)
    np.testing.assert_allclose(w.sum(1), 1, rtol=1e-5)
    mean, square = (w * x).sum(1), (w * x**2).sum(1)
    assert abs(mean.mean() - 1.6) < 4 * mean.std() / 10
    assert abs(square.mean() - 0.2 - 1.6**2) < 4 * square.std() / 10 + 0.2 / 128
    assert (jax.vmap(ess)(state.log_w) > 128).all()

    last = np.array([one.reshape(21, 128)[t].mean() for one, t in zip(x, np.asarray(state.t), strict=True)])
    assert mean.std() < 0.9 * last.std()


def test_trace_and_places():
    state = SAMPLER.run(KEY, 64, draw, log_p0, log_p)
    t, at = int(state.t), state.shared
    np.testing.assert_allclose(at.ess[: t - 1], 0.9 * 64, rtol=1e-3)
    assert (np.diff(at.exponents[:t]) > 0).all() and at.exponents[t - 1] == 1
    assert ((at.accept[:t] > 0) & (at.accept[:t] < 1)).all() and not at.accept[t:].any()
    weights = np.asarray(state.log_w).reshape(21, 64)
    assert (weights[: t + 1] > -np.inf).all() and (weights[t + 1 :] == -np.inf).all()
    assert set(np.asarray(state.eve).tolist()) <= set(range(64))
    np.testing.assert_array_equal(state.eve[:64], np.arange(64))


def test_more_than_one_population_may_be_asked_for():
    state = replace(SAMPLER, alpha=1.5).run(KEY, 64, draw, log_p0, log_p)
    assert state.shared.exponents[0] < 1e-9 and state.shared.exponent == 1 and state.shared.ess[1] >= 1.49 * 64
    np.testing.assert_allclose(state.log_z, LOG_Z, atol=0.5)


def test_a_density_that_is_zero_everywhere_or_in_part():
    with pytest.warns(RuntimeWarning, match="PersistentSampling: all weights were zero"):
        dead = SAMPLER.run(KEY, 64, draw, log_p0, lambda x: -jnp.inf * jnp.ones_like(x[0]))
    assert dead.collapsed and dead.log_z == -jnp.inf and dead.t == 1 and np.isfinite(dead.log_w).all()
    half = SAMPLER.run(KEY, 64, draw, log_p0, lambda x: jnp.where(x[0] > 0, log_p0(x), -jnp.inf))
    assert abs(jnp.exp(half.log_z) - 0.5) < 4 * 0.5 / 64**0.5 and not half.collapsed
    assert (half.p.x[half.log_w > -jnp.inf] > 0).all()


def test_errors():
    with pytest.raises(UsageError, match="steps=0 and max_steps=100 must be at least 1, alpha=0.9 above 0"):
        PersistentSampling(steps=0)
