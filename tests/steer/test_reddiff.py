"""RED-diff on a Gaussian prior."""

import jax
import numpy as np
import pytest

from genkit.diffusion import Cosine
from genkit.errors import UsageError
from genkit.steer import REDDiff, dense, observe, posterior
from genkit.testing import gaussian_denoiser

D, STD, Y = 0.8, 0.5, 1.0
OBSERVATION = observe(dense([[0.48, 0.64]]), [Y], STD)
ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
PRIOR = gaussian_denoiser(process=Cosine())


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_red_diff_balances_the_data_and_the_prior(power):
    """At one level: d (d m - y) + weight s^power s m / (1 + s^2) = 0."""
    times = tuple(np.linspace(2.001, 2.0, 600))
    method = REDDiff(times=times, weight=0.5, data=1.5, power=power)
    x = posterior(jax.random.key(0), method, gaussian_denoiser(), OBSERVATION, groups=2000, particles=1).x[:, 0]
    assert (x @ ALONG).mean() == pytest.approx(1.5 * D * Y / (1.5 * D**2 + 0.5 * 2**power * 2 / 5), abs=0.01)
    assert (x @ ACROSS).mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("options", "says"), [({"weight": 0.0}, "weight=0.0")])
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        REDDiff(**options)
