"""The oracles against Tweedie's formula: score of log p_t by automatic differentiation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EDM, Cosine
from genkit.errors import UsageError
from genkit.testing import gaussian_denoiser, gmm_denoiser, linear_gaussian_denoiser

VP = Cosine()
COV = np.array([[1.0, 0.6], [0.6, 0.5]])
MAKERS = {
    "std": lambda process: gaussian_denoiser([0.3, -1.0], std=[0.5, 2.0], process=process),
    "cov": lambda process: gaussian_denoiser([0.3, -1.0], cov=COV, process=process),
    "mixture": lambda process: gmm_denoiser([1, 2.0], [[0.0, 1], [2, -1]], std=[0.3, 1.0], process=process),
    "mixture_cov": lambda process: gmm_denoiser([0.4, 0.6], [[0.0, 1], [2, -1]], cov=[COV, np.eye(2)], process=process),
}


@partial(jax.jit, static_argnames="process")
def _scores(denoiser, x, t, process):
    return process.score(x, t, denoiser(x, t)), jax.grad(lambda x: denoiser.log_prob(x, t).sum())(x)


@pytest.mark.parametrize("process", [EDM(), VP], ids=["edm", "vp"])
@pytest.mark.parametrize("name", MAKERS)
def test_denoiser_is_the_score(name, process):
    with jax.enable_x64(True):
        denoiser = MAKERS[name](process)
        x, t = jax.random.normal(jax.random.key(0), (5, 2)), jnp.linspace(0.2, 0.8, 5)
        score, expected = _scores(denoiser, x, t, process)
        np.testing.assert_allclose(score, expected, rtol=1e-10)


def test_density_of_the_data():
    with jax.enable_x64(True):
        x = jnp.array([[0.4, -0.2]])
        np.testing.assert_allclose(gaussian_denoiser(0.0, cov=COV).log_prob(x, 1e-6), -1.6262492096515004, rtol=1e-9)
        x = jnp.array([[0.3, -0.7]])
        denoiser = gaussian_denoiser([0.1, -0.2], std=[0.5, 1.0])
        np.testing.assert_allclose(denoiser.log_prob(x, 1e-6), -1.3497298858494, rtol=1e-9)


def test_conditional_is_the_joint_conditioned():
    """x = A y + b + e against the shifted Gaussian, one condition per member."""
    a, b, y = np.array([[1.0], [2.0]]), np.array([0.5, 0.0]), jnp.array([[0.3], [-1.0]])
    with jax.enable_x64(True):
        x, t = jax.random.normal(jax.random.key(1), (2, 2)), jnp.array([0.3, 0.9])
        out = linear_gaussian_denoiser(a, b, cov=COV, process=VP)(x, t, y)
        for i in range(2):
            one = gaussian_denoiser(a @ y[i] + b, cov=COV, process=VP)(x[i : i + 1], t[i : i + 1])
            np.testing.assert_allclose(out[i : i + 1], one, rtol=1e-12)


def test_image_shapes_and_errors():
    x = jnp.ones((2, 4, 4, 3))
    assert gaussian_denoiser(std=[1.0, 2.0, 3.0])(x, 0.5).shape == x.shape
    assert gaussian_denoiser(std=2.0).log_prob(x, 0.5).shape == (2,)
    for make in (
        lambda: gaussian_denoiser(std=1.0, cov=COV),
        lambda: gaussian_denoiser(cov=[[1.0, 2.0], [2.0, 1.0]]),
        lambda: gmm_denoiser([1.0], [[0.0], [1.0]]),
        lambda: linear_gaussian_denoiser([1.0, 2.0]),
    ):
        with pytest.raises(UsageError):
            make()
