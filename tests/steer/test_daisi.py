"""Inverse sampling: the flow brings members back, the SDE keeps the law, guidance makes the Gaussian posterior."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EulerMaruyama, invert
from genkit.errors import UsageError
from genkit.steer import DAISI, DAPS, DPS, MMPS, PiGDM, dense, function, observe
from genkit.testing import gaussian_denoiser

PRIOR = np.array([[2.0, 0.8], [0.8, 1.0]])
DENOISER = gaussian_denoiser(jnp.array([1.0, -1.0]), cov=PRIOR)
MEMBERS = jnp.asarray(np.random.default_rng(0).multivariate_normal([1.0, -1.0], PRIOR, 8_000), jnp.float32)


def test_without_observations_the_flow_gives_the_members_back_to_second_order():
    errors = []
    for steps in (20, 40):
        method = DAISI(level=5.0, steps=steps, sigma_min=1e-3)
        back = method(jax.random.key(0), DENOISER, None, MEMBERS[:50])
        errors.append(float(jnp.abs(back - MEMBERS[:50]).max()))
    assert errors[1] < 1e-3 and errors[0] / errors[1] > 3


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_the_sde_towards_noise_has_the_marginals_of_the_process(noise):
    sampler = EulerMaruyama(steps=200, sigma_min=0.01, sigma_max=3.0, grid="logsnr", lam=noise)
    z = 3.0 * invert(sampler, DENOISER, MEMBERS, key=jax.random.key(1))
    assert np.allclose(np.cov(np.asarray(z).T), PRIOR + 9 * np.eye(2), atol=0.4)
    assert np.allclose(z.mean(0), [1, -1], atol=0.1)
    with pytest.raises(UsageError, match="key"):
        invert(sampler, DENOISER, MEMBERS)


@pytest.mark.parametrize(("noise", "loss"), [(0.5, 0.06), (0.75, 0.02), (1.0, 3e-4)])
def test_few_steps_towards_noise_lose_little_variance(noise, loss):
    """At the default steps: one closed form for every data variance c, by the coefficients of the steps."""
    method = DAISI(noise=noise)
    steps = method.sampler.inversion().steps
    for c in (0.25, 1.0, 4.0):
        variance = c  # the data are taken for the state at the lowest level
        s = np.geomspace(method.sigma_min, method.level, method.steps)
        table = (c / (c + s[:-1] ** 2), steps.x[:, 0], steps.history[:, 0, 0], steps.noise[:, 0])
        for k, x, d, eps in zip(*table, strict=True):
            variance = (x + d * k) ** 2 * variance + eps**2
        assert 1 - loss < variance / (c + method.level**2) < 1


def test_from_a_high_level_the_noisy_way_forgets_the_forecast_and_the_flow_does_not():
    kept = {}
    for noise in (0.0, 1.0):
        back = DAISI(level=40.0, noise=noise, steps=60)(jax.random.key(2), DENOISER, None, MEMBERS[:2000])
        kept[noise] = np.corrcoef(np.asarray(back)[:, 0], np.asarray(MEMBERS[:2000])[:, 0])[0, 1]
    assert kept[0.0] > 0.999 and abs(kept[1.0]) < 0.1


@pytest.mark.parametrize(
    ("method", "steps"), [(DAISI(level=40.0, guidance=MMPS(iterations=2)), 60),
                          (DAISI(level=40.0, noise=1.0, guidance=MMPS(iterations=2)), 250)],
)  # fmt: skip
def test_guided_members_are_the_kalman_filter_of_a_forecast_with_the_priors_law(method, steps):
    """Members that have the law of the prior: the analysis is its posterior, by flow and by SDE."""
    rows, error, y = np.array([[1.0, 0.5]]), 0.5, np.array([2.0])
    observation = observe(dense(rows), y, error)
    analysis = np.asarray(replace(method, steps=steps)(jax.random.key(3), DENOISER, observation, MEMBERS))
    k = PRIOR @ rows.T / (rows @ PRIOR @ rows.T + error**2)
    mean = np.array([1.0, -1.0]) + k[:, 0] * (y[0] - rows[0] @ [1.0, -1.0])
    assert np.allclose(analysis.mean(0), mean, atol=0.06)
    assert np.allclose(np.cov(analysis.T), PRIOR - k @ rows @ PRIOR, atol=0.08)


@pytest.mark.parametrize("guidance", [MMPS(), PiGDM(spread=1.4), DPS(scale=2.0)])
def test_every_rule_draws_members_to_a_nonlinear_observation_and_one_each_can_be_given(guidance):
    method, members = DAISI(level=3.0, steps=8, guidance=guidance), MEMBERS[:3]

    def nearer(y, x, key):
        observation = observe(function(lambda x: jnp.arctan(x[:, :1]), (2,)), y, 0.1)
        return method(key, DENOISER, observation, x[None])[0]

    y = jnp.array([[1.2], [0.3], [0.5]])
    analysis = jax.vmap(nearer)(y, members, jax.random.split(jax.random.key(4), 3))
    before, after = (jnp.abs(jnp.arctan(x[:, :1]) - y) for x in (members, analysis))
    assert (after < jnp.maximum(before, 0.15)).all() and after.sum() < 0.5 * before.sum()


def test_a_level_below_the_lowest_is_refused():
    with pytest.raises(UsageError, match="level"):
        DAISI(level=0.01)
    with pytest.raises(UsageError, match="MMPS, PiGDM or DPS"):
        DAISI(guidance=DAPS())
