"""What every method for diffusion promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import VP
from genkit.errors import UsageError
from genkit.steer import (
    METHODS,
    ESSFlow,
    Poisson,
    dense,
    function,
    observe,
    posterior,
)
from genkit.testing import gaussian_denoiser

MATRIX = np.array([[0.48, 0.64]])


ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])


PRIOR = gaussian_denoiser(process=VP())


def small(method):
    """A short chain."""
    return method(steps=6, **({"moves": 8} if method is ESSFlow else {}))


@pytest.mark.parametrize("method", METHODS)
def test_groups_have_their_own_observation_in_any_chunks(method):
    one, other = (observe(dense(MATRIX), [y], 0.5) for y in (2.0, -4.0))

    @jax.jit
    def draw(key, observations):
        return posterior(key, small(method), PRIOR, observations, groups=2, particles=3, chunk=1)

    mixed, same = draw(jax.random.key(0), [one, other]), draw(jax.random.key(0), [other, other])
    np.testing.assert_array_equal(mixed.x[1], same.x[1])
    assert np.abs(mixed.x[0] - same.x[0]).max() > 1e-3 and np.isfinite(mixed.x).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_cannot_take_is_said(method):
    """All others are drawn, in one chain of a problem without singular values, of counts, and without noise."""
    linear, any_noise = {"DPS", "TDS", "DAPS", "ESSFlow"}, {"DPS", "MMPS", "PiGDM", "DAPS", "DDRM", "REDDiff"}
    taken = {
        "singular values": linear | {"MMPS", "PiGDM", "REDDiff"}, "normal noise": linear, "noise": any_noise
    }  # fmt: skip
    f = function(jnp.tanh, (2,))
    problems = {
        "singular values": observe(f, [0.5, 0.1], 0.1), "normal noise": observe(f, [1, 0], Poisson()),
        "noise": observe(dense(MATRIX), [1.0], 0.0),
    }  # fmt: skip
    for need, problem in problems.items():
        table = small(method).table(VP())
        if method.__name__ in taken[need]:
            table.check(problem)
        else:
            with pytest.raises(UsageError, match=f"{method.__name__} needs .*; take "):
                table.check(problem)
