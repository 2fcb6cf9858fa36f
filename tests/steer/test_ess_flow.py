"""ESS-Flow, whose target is known for Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import EDM
from genkit.errors import GenkitError, UsageError
from genkit.steer import (
    Bernoulli,
    ESSFlow,
    dense,
    function,
    observe,
    posterior,
)
from genkit.testing import gaussian_denoiser

MATRIX = np.array([[0.48, 0.64]])


ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])


def test_ess_flow_on_a_gaussian():
    """x_0 = f xi along each coordinate: the posterior of the flow's own data; the first moves are forgotten."""
    method = ESSFlow(steps=10, sigma_min=0.05, sigma_max=20.0, moves=25)
    levels = method.levels(EDM())
    path = [*levels.s, 0.0]
    v = (levels.start * np.prod([(1 + a * b) / (1 + a**2) for a, b in zip(path, path[1:], strict=False)])) ** 2
    draws = posterior(
        jax.random.key(0), method, gaussian_denoiser(), observe(dense(MATRIX), [1.0], 0.3), groups=8000, particles=1
    )
    x, exact = np.asarray(draws.x[:, 0]), 1 / (1 / v + 0.64 / 0.09)
    assert (x @ ALONG).mean() == pytest.approx(0.8 / 0.09 * exact, abs=4 * (exact / 8000) ** 0.5)
    assert (x @ ALONG).var() == pytest.approx(exact, rel=0.07)
    assert (x @ ACROSS).var() == pytest.approx(v, rel=0.07)
    assert not draws.said["stuck"].any() and (draws.said["calls"] > 25).all()


def test_ess_flow_takes_a_step():
    """A measurement without a derivative: logits of 2 and -2 by the sign of x."""
    sign = function(lambda x: 2 * jnp.sign(x), (1,))
    method = ESSFlow(steps=6, sigma_min=0.1, sigma_max=10.0, moves=10)
    draws = posterior(
        jax.random.key(0), method, gaussian_denoiser(), observe(sign, [1], Bernoulli()), groups=4000, particles=1
    )
    p = 1 / (1 + np.exp(-2))
    assert (draws.x > 0).mean() == pytest.approx(p, abs=4 * (p * (1 - p) / 4000) ** 0.5)


@pytest.mark.parametrize(("options", "says"), [({"moves": 0}, "moves=0"), ({"shrinks": 0}, "shrinks=0")])
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        ESSFlow(**options)


def test_a_measurement_that_nothing_explains_is_told():
    never = function(lambda x: jnp.full_like(x, jnp.nan), (1,))
    with pytest.raises(GenkitError, match="no particle explains"):
        posterior(jax.random.key(0), ESSFlow(steps=4, moves=2), gaussian_denoiser(), observe(never, [0.0], 1.0), 3)
