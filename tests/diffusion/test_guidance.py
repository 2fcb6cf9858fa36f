"""Guidance against closed forms on Gaussians."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import (
    EDM,
    RK4,
    VP,
    Auto,
    Classifier,
    ClassifierFree,
    Flow,
    Heun,
    Replacement,
    process_of,
    sample,
)
from genkit.errors import UsageError
from genkit.testing import gaussian_denoiser

KEY = jax.random.key(0)
PRIOR = np.array([[1.0, 0.3], [0.3, 0.5]])
ROW, Y, STD = np.array([[1.0, 1.0]]), np.array([1.0]), 0.2
PROCESSES = pytest.mark.parametrize("process", [EDM(), VP(), Flow()], ids=lambda p: type(p).__name__)
given, free = gaussian_denoiser(1.0, 0.5), gaussian_denoiser(0.0, 1.25**0.5)


def pair(x, t, cond):
    """N(1, .25) where cond is 1, N(0, 1.25) where it is 0."""
    return jnp.where(cond > 0.5, given(x, t), free(x, t))


@pytest.mark.parametrize(
    "w, std, mean",
    [
        (0.0, 1.1179266104, 0.0),
        (1.0, 0.4999942346, 0.9937500721),
        (2.0, 0.2236231182, 1.3172194673),
        (3.0, 0.1000157513, 1.3962549199),
    ],
)
def test_classifier_free_guidance_of_gaussians(w, std, mean):
    """Not a tempered posterior: std 80 prod ((v + low^2) / (v + high^2))^(weight/2)."""
    with jax.enable_x64(True):
        z, cond = jnp.array([[0.0], [1.0]]), jnp.ones((2, 1))
        sampler = RK4(2000, 0.002, 80.0, final=False)
        x = sample(KEY, sampler, ClassifierFree(w)(pair), (2, 1), cond, noise=z)[:, 0]
        np.testing.assert_allclose([x[1] - x[0], x[0]], [std, mean], atol=1e-5)


def test_classifier_free_guidance_acts_in_its_interval():
    cond = jnp.ones((3, 1))
    x, t = jnp.array([[0.3], [2.0], [-1.0]]), jnp.array([0.1, 1.0, 10.0])
    out = ClassifierFree(3.0, low=0.5, high=5.0)(pair)(x, t, cond)
    conditional, unconditional = given(x, t), free(x, t)
    np.testing.assert_allclose(out[::2], conditional[::2])
    np.testing.assert_allclose(out[1], (unconditional + 3 * (conditional - unconditional))[1], rtol=1e-6)
    two = {"a": cond, "b": 5 * cond}
    null = ClassifierFree(0.0, null={"a": 0.0, "b": 7.0})(lambda x, t, c: c["a"] + c["b"])
    np.testing.assert_allclose(null(x, 1.0, two), 7.0)
    with pytest.raises(UsageError, match="needs a condition"):
        ClassifierFree(2.0)(pair)(x, t)


def test_rescaling_keeps_the_spread_of_the_conditional():
    x, cond = jax.random.normal(KEY, (2, 1000)), jnp.ones((2, 1))
    conditional, guided = pair(x, 1.0, cond), ClassifierFree(3.0)(pair)(x, 1.0, cond)
    half = ClassifierFree(3.0, rescale=0.5)(pair)(x, 1.0, cond)
    full = ClassifierFree(3.0, rescale=1.0)(pair)(x, 1.0, cond)
    np.testing.assert_allclose(full.std(1), conditional.std(1), rtol=1e-5)
    np.testing.assert_allclose(half, (full + guided) / 2, rtol=1e-5, atol=1e-6)


def test_derivative_of_items_of_one_number():
    x, cond = jnp.array([[0.3], [2.0]]), jnp.ones((2, 1))
    _, slope = jax.jvp(lambda x: ClassifierFree(1.0)(pair)(x, 1.0, cond), (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(slope, 0.25 / 1.25, rtol=1e-6)  # that of the conditional denoiser


def test_one_call_of_a_doubled_batch():
    shapes = []

    def denoiser(x, t, cond):
        shapes.append((x.shape, t.shape, cond.shape))
        return x

    ClassifierFree(2.0)(denoiser)(jnp.zeros((3, 2)), 1.0, jnp.ones((3, 5)))
    assert shapes == [((6, 2), (6,), (6, 5))]


def test_autoguidance():
    x = jnp.array([[0.3], [2.0]])
    out = Auto(free, 2.5)(given)(x, 1.0)
    np.testing.assert_allclose(out, free(x, 1.0) + 2.5 * (given(x, 1.0) - free(x, 1.0)), rtol=1e-6)


def posterior(cov, y=Y):
    gain = cov @ ROW.T / (ROW @ cov @ ROW.T + STD**2)
    return (gain * y)[:, 0], cov - gain @ ROW @ cov


def test_posterior_of_the_linear_problem():
    mean, cov = posterior(PRIOR)
    np.testing.assert_allclose(mean, [0.607477, 0.373832], atol=1e-6)
    np.testing.assert_allclose(cov, [[0.21028, -0.185981], [-0.185981, 0.200935]], atol=1e-6)


@PROCESSES
def test_exact_classifier_gives_the_posterior(process):
    """p(y | x_t) is Gaussian: mean A D, variance A Cov[x_0 | x_t] A^T + std^2."""
    prior = gaussian_denoiser(0.0, cov=PRIOR, process=process)

    def log_prob(x, t, cond):
        alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
        values, vectors = np.linalg.eigh(PRIOR)
        spread = values * sigma**2 / (alpha**2 * values + sigma**2) @ ((ROW @ vectors)[0] ** 2) + STD**2
        gap = Y - prior(x, t) @ ROW[0]
        return -0.5 * gap**2 / spread

    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (3, 2))
        t = jnp.asarray(process.time(np.array([0.05, 1.0, 20.0])))
        mean, cov = posterior(PRIOR)
        expected = gaussian_denoiser(mean, cov=cov, process=process)(x, t)
        np.testing.assert_allclose(Classifier(log_prob)(prior)(x, t), expected, rtol=1e-8)


def test_replacement():
    known, mask = jnp.array([2.0, 0.0]), jnp.array([1.0, 0.0])
    x = sample(KEY, Heun(20), Replacement(known, mask)(gaussian_denoiser(0.0, cov=PRIOR)), (4000, 2))
    np.testing.assert_array_equal(x[:, 0], 2.0)
    mean = np.array([2.0, 0.0])  # its flow: the unknown part sees the known one through the denoiser alone
    for s in np.geomspace(80.0, 1e-3, 4000):
        pull = mean[1] - (PRIOR @ np.linalg.solve(PRIOR + s**2 * np.eye(2), mean))[1]
        mean[1] -= pull * np.log(80.0 / 1e-3) / 4000
    assert mean[1] < 0.5  # far from the posterior's .6
    np.testing.assert_allclose(x[:, 1].mean(), mean[1], atol=4 * x[:, 1].std() / 4000**0.5)


def test_guidance_composes_and_keeps_the_process():
    def log_prob(x, t, cond):
        return -(x**2).sum(1)

    prior = Classifier(log_prob)(gaussian_denoiser(0.0, cov=PRIOR, process=VP()))
    both = Replacement(jnp.zeros(2), jnp.array([1.0, 0.0]))(prior)
    assert process_of(both) == VP()
    out = both(jnp.ones((2, 2)), 0.5)
    np.testing.assert_allclose(out[:, 0], 0)
    np.testing.assert_allclose(out[:, 1], prior(jnp.ones((2, 2)), 0.5)[:, 1])


def test_new_strengths_do_not_retrace():
    chex.clear_trace_counter()

    @chex.assert_max_traces(n=2)  # the call of the beginning and that of the loop
    def denoiser(x, t, cond):
        return 0.5 * x * cond

    seen = []
    for w, high in ((1.0, 80.0), (2.0, 5.0)):
        guided = ClassifierFree(jnp.float32(w), high=jnp.float32(high))(jax.tree_util.Partial(denoiser))
        seen.append(sample(KEY, Heun(5), guided, (4, 2), jnp.ones((4, 2))))
    assert not jnp.allclose(*seen)
