"""Likelihood by the probability-flow ODE, on Gaussians."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EDM, VP, Adaptive, EDMDenoiser, Flow, bits_per_dim, log_likelihood, sample
from genkit.diffusion.likelihood import Divergence
from genkit.errors import GenkitError, UsageError
from genkit.testing import gaussian_denoiser, gmm_denoiser, linear_gaussian_denoiser

KEY = jax.random.key(0)
COV = np.array([[1.0, 0.6], [0.6, 0.5]])


def at_levels(x, mean, cov, low, high):
    """What the flow gives: the density of N(mean, cov + low^2 I), but with the prior N(0, high^2 I) at its end."""
    values, vectors = np.linalg.eigh(cov)
    ratio = (values + high**2) / (values + low**2)
    end = mean @ vectors + (x - mean) @ vectors * np.sqrt(ratio)
    return (-0.5 * (end**2 / high**2 + np.log(2 * np.pi * high**2) - np.log(ratio))).sum(-1)


@pytest.mark.parametrize(
    "solver, process, tolerance",
    [
        ("rk4", EDM(), 1e-7),
        ("rk4", Flow(), 1e-7),
        ("heun", VP(), 2e-3),
        ("tsit5", EDM(), 1e-6),
        ("dopri5", VP(), 1e-6),
    ],
)
def test_correlated_gaussian(process, solver, tolerance):
    with jax.enable_x64(True):
        x, options = jnp.array([[0.4, -0.2]]), dict(solver=solver, steps=400, tolerance=1e-8)
        denoiser = gaussian_denoiser(0.0, cov=COV, process=process)
        found = log_likelihood(KEY, x, denoiser, **options).log_p
        np.testing.assert_allclose(found, -1.6261388839855737, atol=tolerance)
        assert at_levels(np.asarray(x), np.zeros(2), COV, 0.002, 80.0) == pytest.approx(-1.6261388839855737, abs=1e-12)


def test_far_from_both_ends_it_is_the_density_itself():
    with jax.enable_x64(True):
        x, denoiser = jnp.array([[0.3, -0.7]]), gaussian_denoiser([0.1, -0.2], std=[0.5, 1.0])
        found = log_likelihood(KEY, x, denoiser, steps=1500, sigma_min=1e-6, sigma_max=1e5).log_p
        np.testing.assert_allclose(found, -1.3497298858494, atol=1e-5)


def test_latent_is_the_data_carried_to_the_noise():
    with jax.enable_x64(True):
        x = jnp.array([[0.3], [-1.0]])
        latent = log_likelihood(KEY, x, gaussian_denoiser(0.0, 0.5), steps=400).latent
        expected = x * np.sqrt((0.25 + 80.0**2) / (0.25 + 0.002**2)) / 80
        np.testing.assert_allclose(latent, expected, rtol=1e-6)


def test_mixture():
    """Its density integrates to one."""
    with jax.enable_x64(True):
        denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5])
        x = jnp.linspace(-5, 5, 401)[:, None]
        found = log_likelihood(KEY, x, denoiser, steps=300, sigma_min=1e-3, sigma_max=1e3).log_p
        np.testing.assert_allclose(jnp.trapezoid(jnp.exp(found), x[:, 0]), 1, atol=1e-4)
        near = jnp.abs(x[:, 0]) < 3  # where neither tail has taken over
        np.testing.assert_allclose(found[near], denoiser.log_prob(x, 1e-3)[near], atol=2e-3)


def test_exact_trace():
    jacobian = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    exact = Divergence("exact")
    unit = exact.draw(None, (3, 2), jnp.float32)
    np.testing.assert_allclose(exact(lambda x: x @ jacobian, jnp.zeros((3, 2)), unit)[1], 5)


@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
def test_estimates_are_unbiased(trace):
    denoiser, x = gaussian_denoiser(0.0, cov=COV), jnp.tile(jnp.array([0.4, -0.2]), (4000, 1))
    found = log_likelihood(KEY, x, denoiser, trace=trace, steps=60).log_p
    exact = log_likelihood(KEY, x[:1], denoiser, steps=60).log_p
    assert found.std() > 0.01
    np.testing.assert_allclose(found.mean(), exact[0], atol=4 * found.std() / 4000**0.5)
    more = log_likelihood(KEY, x[:500], denoiser, trace=trace, probes=8, steps=60).log_p
    assert more.std() / found.std() == pytest.approx(8**-0.5, rel=0.15)


@pytest.mark.parametrize("solver, trace", [("rk4", "rademacher"), ("tsit5", "exact")])
def test_items_are_independent(solver, trace):
    """Neither the order of the batch nor what else is in it changes a value."""
    with jax.enable_x64(True):
        denoiser = gmm_denoiser([0.3, 0.7], [[-2.0, 0.0], [1.0, 1.0]], std=[0.3, 0.5])
        x, keys = jax.random.normal(jax.random.key(1), (4, 2)), jax.random.split(KEY, 4)
        options = dict(trace=trace, solver=solver, steps=20)
        whole = log_likelihood(keys, x, denoiser, **options).log_p
        turned = log_likelihood(keys[::-1], x[::-1], denoiser, **options).log_p
        np.testing.assert_allclose(turned[::-1], whole, rtol=1e-12)
        other = log_likelihood(keys, x.at[1:].mul(30.0), denoiser, **options).log_p
        np.testing.assert_allclose(other[0], whole[0], rtol=1e-12)
        assert abs(other[1] - whole[1]) > 1


@pytest.mark.parametrize("solver", ["rk4", "tsit5"])
def test_gradient(solver):
    """d log p / dx and d log p / d parameter against the closed form."""
    with jax.enable_x64(True):
        x = jnp.array([0.3, -1.0])

        def total(x, std):
            options = dict(solver=solver, steps=200, tolerance=1e-9)
            return log_likelihood(KEY, x[:, None], gaussian_denoiser(0.0, std), **options).log_p.sum()

        def closed(x, std):
            return sum(_closed(value, std) for value in x)

        found = jax.grad(total, (0, 1))(x, jnp.array(0.5))
        np.testing.assert_allclose(found[0], jax.grad(closed)(x, 0.5), rtol=1e-5)
        np.testing.assert_allclose(found[1], jax.grad(closed, 1)(x, 0.5), rtol=1e-5)


def _closed(x, std):
    ratio = (std**2 + 80.0**2) / (std**2 + 0.002**2)
    return -0.5 * (x**2 * ratio / 80.0**2 - jnp.log(ratio))


def test_conditional():
    with jax.enable_x64(True):
        matrix, y = np.array([[1.0], [2.0]]), jnp.array([[0.3], [-1.0]])
        x = jnp.array([[0.4, 0.4], [-0.5, -2.2]])
        denoiser = linear_gaussian_denoiser(matrix, cov=COV)
        found = log_likelihood(KEY, x, denoiser, y, sigma_max=1e4, steps=400).log_p
        expected = at_levels(np.asarray(x), np.asarray(y @ matrix.T), COV, 0.002, 1e4)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bits_per_dimension():
    """A uniform density over 256 levels of width 1 / 127.5 costs 8 bits."""
    log_p = jnp.full(3, 10 * np.log(0.5))  # 10 numbers, uniform on [-1, 1]
    np.testing.assert_allclose(bits_per_dim(log_p, 10, 127.5), np.log2(255), rtol=1e-6)


def test_new_values_do_not_retrace():
    chex.clear_trace_counter()

    @chex.assert_max_traces(n=1)
    def network(params, x, c_noise, cond):
        return params * x

    x = jnp.ones((3, 2))
    for value, high in ((0.1, 80.0), (0.2, 50.0)):
        log_likelihood(KEY, x, EDMDenoiser(network, jnp.float32(value)), solver="rk4", steps=4, sigma_max=high)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(trace="full"), "unknown trace 'full'; known: exact, rademacher, gaussian"),
        (dict(solver="euler"), "unknown solver 'euler'"),
        (dict(steps=0), "steps=0"),
        (dict(sigma_min=3.0, sigma_max=2.0), "sigma_min < sigma_max"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(UsageError, match=words):
        log_likelihood(KEY, jnp.zeros((2, 1)), gaussian_denoiser(), **options)
    with pytest.raises(UsageError, match="keys have shape"):
        log_likelihood(jax.random.split(KEY, 3), jnp.zeros((2, 1)), gaussian_denoiser())


def test_a_solver_that_does_not_arrive_is_said(monkeypatch):
    """Where steps run out there is no result: neither samples nor likelihoods of another level are returned."""
    monkeypatch.setattr("genkit.diffusion.samplers.adaptive.MOST", 8)
    denoiser = gaussian_denoiser(0.0, 0.5)
    with pytest.raises(
        GenkitError, match="2 of 2 likelihoods are NaN: .*'tsit5' did not reach the end; try solver='rk4'"
    ):
        log_likelihood(KEY, jnp.ones((2, 3)), denoiser, solver="tsit5", tolerance=1e-6)
    with pytest.raises(GenkitError, match="2 of 2 samples are not finite: .* adaptive size did not reach the end"):
        sample(KEY, Adaptive(), denoiser, (2, 3))
