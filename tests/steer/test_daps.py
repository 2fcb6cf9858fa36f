"""DAPS on a Gaussian prior, exact and by Langevin steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EDM, VP
from genkit.errors import UsageError
from genkit.steer import (
    DAPS,
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
