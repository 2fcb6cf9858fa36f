"""SMC^2 against a sum over a grid of Kalman filters; Metropolis-Hastings with proposals that are not symmetric."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import SMC2, NormalChain, Resample, pmmh
from genkit.testing import LinearGaussian
from genkit.testing.kalman import Bootstrap

KEY = jax.random.key(0)
Y = np.sin(np.arange(1, 9))
BROKEN = np.array([0.1, np.nan, 0.3])
STD = 0.5  # of the prior of log sx


def chain(theta):
    return NormalChain(0.0, 1.0, Bootstrap(0.9, jnp.exp(theta[0]), 0.5), Y).model()


def log_prior(theta):
    return jax.scipy.stats.norm.logpdf(theta, 0.0, STD).sum()


def test_evidence_and_posterior():
    """Of the scale of the moves, over independent runs."""
    grid = np.linspace(-2.5, 2.5, 401)
    prior = np.exp(-0.5 * (grid / STD) ** 2)
    prior /= prior.sum()
    evidence = np.zeros(len(Y))
    for t in range(len(Y)):
        like = [LinearGaussian(sx=np.exp(g), sy=0.5, v0=1.0).kalman_loglik(Y[: t + 1]) for g in grid]
        evidence[t] = np.log(prior @ np.exp(like))
    posterior = prior * np.exp(like) / np.exp(evidence[-1])
    sampler = SMC2(particles=20, steps=2, resample=Resample(threshold=0.8))

    def one(key):
        draw = lambda key: STD * jax.random.normal(key, (1,))  # noqa: E731
        state, log_z = sampler.run(key, 64, draw, log_prior, chain)
        return jnp.exp(state.log_w) @ state.p.theta[:, 0], log_z, state.p.accept.mean()

    mean, log_z, accept = map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(KEY, 40)))
    assert 0.1 < accept.mean() < 0.9
    ratio = np.exp(log_z.astype(np.float64) - evidence)
    assert (np.abs(ratio.mean(0) - 1) < 4 * ratio.std(0, ddof=1) / 40**0.5).all()
    error = mean.std(ddof=1) / 40**0.5
    assert error < 0.03 and abs(mean.mean() - posterior @ grid) < 4 * error


def test_proposals_that_are_not_symmetric():
    """Log-normal steps on an exponential law with its exact likelihood: mean and variance 1."""

    def one(key):
        return pmmh(
            key,
            600,
            jnp.ones(()),
            lambda key, theta: (-theta, ()),
            lambda theta: jnp.zeros(()),
            lambda key, theta: theta * jnp.exp(jax.random.normal(key)),
            lambda theta, new: -jnp.log(new),
        )

    x = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(KEY, 100)).theta, np.float64)[:, 50:]
    for sample, exact in ((x.mean(1), 1.0), ((x**2).mean(1), 2.0)):
        error = sample.std(ddof=1) / 10
        assert error < 0.1 and abs(sample.mean() - exact) < 4 * error


def test_undefined_likelihoods_are_said():
    """One datum is NaN, so all filters are lost there."""
    draw = lambda key: STD * jax.random.normal(key, (1,))  # noqa: E731
    broken = lambda theta: NormalChain(0.0, 1.0, Bootstrap(0.9, jnp.exp(theta[0]), 0.5), BROKEN).model()  # noqa: E731
    with pytest.warns(RuntimeWarning, match="SMC2: ") as said:
        state, _ = SMC2(particles=4, steps=1).run(KEY, 8, draw, log_prior, broken)
    assert state.collapsed and state.undefined > 0 and len(said) >= 2


def test_errors():
    with pytest.raises(UsageError, match="particles=0 and steps=3 must be at least 1"):
        SMC2(particles=0)
    with pytest.raises(UsageError, match=r"parameters of shape \(\); expected \(d,\)"):
        SMC2().run(KEY, 4, jax.random.normal, log_prior, chain)
