"""DAPS on a Gaussian prior, exact and by Langevin steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from genkit.diffusion import EDM, VP
from genkit.errors import UsageError
from genkit.steer import (
    DAPS,
    DPS,
    Poisson,
    dense,
    function,
    observe,
    posterior,
)
from genkit.testing import gaussian_denoiser

OBSERVATION = observe(dense([[0.48, 0.64]]), [1.0], 0.5)


PRIOR = gaussian_denoiser(process=VP())


@pytest.mark.parametrize("inner", [1, 3, None])
def test_daps_on_a_gaussian(inner):
    """The chain is Gaussian: x_0 = (1 - k) f (x_0 + s eps) + k y / d + noise, with k the share of y."""
    method = DAPS(steps=8, sigma_min=0.2, sigma_max=10.0, inner=inner)
    s = method.levels(EDM()).s
    mean, v, across = 0.0, 0.0, 0.0
    for i, level in enumerate(s):
        most = min(inner or len(s), len(s) - i)
        path = [*s[np.linspace(i, len(s) - 1, most).round().astype(int)], 0.0]
        f = np.prod([(1 + a * b) / (1 + a**2) for a, b in zip(path, path[1:], strict=False)])
        k = level**2 * 0.64 / (level**2 * 0.64 + 0.25)
        mean = (1 - k) * f * mean + k * 1.0 / 0.8
        v = (1 - k) ** 2 * f**2 * (v + level**2) + level**2 * (1 - k)
        across = f**2 * (across + level**2) + level**2
    x = posterior(jax.random.key(0), method, gaussian_denoiser(), OBSERVATION, groups=40_000, particles=1).x[:, 0]
    along, other = x @ jnp.array([0.6, 0.8]), x @ jnp.array([-0.8, 0.6])
    assert along.mean() == pytest.approx(mean, abs=4 * (v / 40_000) ** 0.5)
    assert along.var() == pytest.approx(v, rel=0.03)
    assert other.var() == pytest.approx(across, rel=0.03)


def test_daps_by_langevin_steps():
    """With short steps the draw given y is that of the exact one, where both numbers are measured."""
    options = {"steps": 6, "sigma_min": 0.2, "sigma_max": 10.0, "rate": 0.05, "last_rate": 1.0, "langevin": 200}
    matrix, found = np.array([[0.48, 0.64], [-0.4, 0.3]]), []
    for operator in (dense(matrix), function(lambda x: x @ jnp.asarray(matrix.T, x.dtype), (2,))):
        observation = observe(operator, [1.0, 0.5], [0.5, 0.4])
        draws = posterior(jax.random.key(0), DAPS(**options), PRIOR, observation, groups=10_000, particles=1)
        x = np.asarray(draws.x[:, 0])
        found.append([*x.mean(0), *x.std(0)])
    np.testing.assert_allclose(found[1], found[0], atol=0.04)


@pytest.mark.parametrize(
    ("options", "says"), [({"inner": 0}, "inner=0"), ({"langevin": 0}, "langevin=0"), ({"rate": 0.0}, "rate=0.0")]
)
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        DAPS(**options)


def test_langevin_steps_are_stable_for_long_rows_and_unequal_noise():
    """Of the largest curvature; its default widens the law that is measured by little at the last level."""
    matrix = np.array([[3.0, 4.0], [-0.04, 0.03]])
    observation = observe(function(lambda x: x @ jnp.asarray(matrix.T, x.dtype), (2,)), [2.0, 0.1], [0.01, 1.0])
    x = posterior(jax.random.key(0), DAPS(steps=6, sigma_max=10.0), PRIOR, observation, groups=500, particles=1).x[:, 0]
    assert np.abs(x @ matrix[0] - 2.0).max() < 0.3  # of values spread over 5 without it


def test_counts_in_the_dark():
    """Of rates near 0, under the default of `Poisson`: by DAPS the posterior, by DPS what was counted; neither jumps.

    The posterior is by sums; below -1 there is no light, which a count of 0 alone allows.
    """
    y, gain = np.array([0.0, 0.0, 1.0, 1.0, 2.0, 4.0, 7.0, 12.0]), 3.0
    x = np.linspace(-7, 6, 26_001)[:, None]
    weight = stats.poisson.pmf(y, np.maximum(gain * (x + 1), 0)) * stats.norm.pdf(x)
    weight /= weight.sum(0)
    mean = (x * weight).sum(0)
    sd = ((x - mean) ** 2 * weight).sum(0) ** 0.5
    observation = observe(function(lambda x: x, (8,)), y, Poisson(gain=gain, offset=1.0))
    draws = {}
    for method in (DAPS(steps=20, sigma_max=10.0), DPS(steps=60, sigma_max=10.0)):
        found = posterior(jax.random.key(0), method, gaussian_denoiser(), observation, groups=300, particles=1)
        draws[type(method)] = np.asarray(found.x[:, 0])
    assert np.abs((draws[DAPS].mean(0) - mean) / sd).max() < 0.8  # 20 with a floor of .001
    np.testing.assert_allclose(draws[DAPS].std(0) / sd, 1.2, atol=0.25)  # of its steps; 28 with that floor
    assert np.abs(draws[DPS] - mean).max() < 4 * sd.max()
    np.testing.assert_allclose(draws[DPS].mean(0)[4:], y[4:] / gain - 1, atol=0.1)  # it fits the noise
