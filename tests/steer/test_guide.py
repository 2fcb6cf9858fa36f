"""Chains of Gaussian diffusion under a function of their states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genkit.diffusion import DDIM, EDM, Heun
from genkit.errors import UsageError
from genkit.smc import Resample
from genkit.steer import BSDG, DDSMC, FADG, guide
from genkit.testing import gaussian_denoiser

STD, GRID = 0.5, {"steps": 40, "sigma_min": 0.05, "sigma_max": 20.0}


def ahead(x, t, cond):
    """log p(y | x_t) of y = x_0 + STD n, for data N(0, 1); y is the condition."""
    return norm_logpdf(cond, x[:, 0] / (1 + t**2), STD**2 + t**2 / (1 + t**2))


def norm_logpdf(y, mean, variance):
    return -0.5 * ((y - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance))


def test_a_look_ahead_gives_the_posterior_and_its_evidence():
    """Each group with its own y: chains of DDIM's data, whose variance is known."""
    v = DDSMC(eta=1.0, **GRID).prior_std(EDM()) ** 2
    y = jnp.repeat(jnp.array([0.5, -1.5]), 200)
    draws = guide(
        jax.random.key(0), BSDG(50, Resample(threshold=0.5)), DDIM(eta=1.0, **GRID), gaussian_denoiser(), ahead,
        (400, 1), y, draws=20, chunk=200,
    )  # fmt: skip
    for one in (0.5, -1.5):
        at = np.asarray(y) == one
        z = np.exp(np.asarray(draws.log_z)[at]) / norm.pdf(one, 0, (v + STD**2) ** 0.5)
        error = z.std() / at.sum() ** 0.5
        assert error < 0.02 and abs(z.mean() - 1) < 4 * error
        gap = (np.asarray(draws.x)[at, :, 0].mean(1) - one * v / (v + STD**2)) * z
        assert abs(gap.mean()) < 4 * gap.std() / at.sum() ** 0.5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: guide(jax.random.key(0), FADG(), Heun(4), gaussian_denoiser(), ahead, (2, 1)),
            "give them OrderAgnostic",
        ),
        (
            lambda: guide(jax.random.key(0), BSDG(order="group"), Heun(4), gaussian_denoiser(), ahead, (2, 1)),
            "with orders",
        ),
        (
            lambda: guide(
                jax.random.key(0), BSDG(), Heun(4), gaussian_denoiser(), ahead, (2, 1), mask=jnp.ones((2, 1), bool)
            ),
            "no sites",
        ),
    ],
)
def test_what_is_refused(call, says):
    with pytest.raises(UsageError, match=says):
        call()
