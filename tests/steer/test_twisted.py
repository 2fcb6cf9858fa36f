"""TDS and MCGDiff where DDSMC cannot go: counts, and coordinates that say little."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from genkit.diffusion import VP, Cosine
from genkit.steer import (
    DDSMC,
    TDS,
    MCGDiff,
    Poisson,
    dense,
    function,
    observe,
    posterior,
)
from genkit.testing import gaussian_denoiser

MATRIX = np.array([[0.48, 0.64]])


PRIOR = gaussian_denoiser(process=VP())


def test_tds_on_counts():
    """The evidence of a chain whose data are N(0, v), by quadrature, and the mean of its posterior."""
    steps = 12
    times = tuple(k / (steps + 1) for k in range(steps, 0, -1))
    v = DDSMC(times=times, eta=1.0).prior_std(Cosine()) ** 2
    observation = observe(function(jnp.exp, (1,)), [3.0], Poisson())

    def joint(x):
        return stats.poisson.pmf(3, np.exp(x)) * stats.norm.pdf(x, 0, v**0.5)

    z = integrate.quad(joint, -8, 8)[0]
    mean = integrate.quad(lambda x: x * joint(x), -8, 8)[0] / z
    draws = posterior(
        jax.random.key(0), TDS(times=times), gaussian_denoiser(process=Cosine()), observation, 400, 100, draws=20
    )
    w = np.exp(draws.log_z) / z
    assert abs(w.mean() - 1) < 4 * w.std() / 20 and w.std() / 20 < 0.01
    gap = (np.asarray(draws.x)[..., 0].mean(1) - mean) * w
    assert abs(gap.mean()) < 4 * gap.std() / 20


@pytest.mark.parametrize("v", [1.0, 1e-2, 1e-4])
def test_mcgdiff_on_coordinates_that_say_little(v):
    """A = diag(1, v), data N(0, I): log p(y) however small v is; the highest level here is 10."""
    std, y = 0.3, np.array([0.5, 0.1])
    exact = stats.norm.logpdf(y, 0, np.sqrt(std**2 + np.array([1, v]) ** 2)).sum()
    method = MCGDiff(steps=60, sigma_max=10.0, sigma_min=0.02, kappa=0.3)
    draws = posterior(jax.random.key(0), method, PRIOR, observe(dense(np.diag([1, v])), y, std), 100, 500)
    assert float(draws.log_z.mean()) == pytest.approx(exact, abs=0.2)
