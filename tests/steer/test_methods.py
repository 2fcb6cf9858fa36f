"""What every method for diffusion promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import VP
from genkit.errors import GenkitError, UsageError
from genkit.smc import Resample, multinomial
from genkit.steer import (
    DPS,
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


def test_samples_that_are_none_are_told():
    """Of a method without weights too; in some groups by a warning, in all by an error."""

    def lost(x, t, cond):
        return jnp.where(cond[:, None] > 0, jnp.nan, 0.5) * x

    problem = DPS(steps=4), lost, observe(dense(MATRIX), [1.0], 0.5), 2
    with pytest.warns(RuntimeWarning, match="in 1 of 2 groups"):
        draws = posterior(jax.random.key(0), *problem, cond=jnp.array([0.0, 1.0]))
    assert draws.collapsed.tolist() == [False, True]
    with pytest.raises(GenkitError, match="in 2 of 2 groups"):
        posterior(jax.random.key(0), *problem, cond=jnp.ones(2))


def test_several_samples_of_a_method_without_weights_are_different():
    """Whatever resampler: copies of a particle would be no samples of their own."""
    problem = jax.random.key(0), small(DPS), PRIOR, observe(dense(MATRIX), [1.0], 0.5), 2
    draws = posterior(*problem, draws=3, resampler=Resample(multinomial, threshold=1.0))
    assert draws.x.shape == (2, 3, 2) and len(np.unique(np.asarray(draws.x[..., 0]))) == 6
    with pytest.raises(UsageError, match="draws=0 is too few"):
        posterior(*problem, draws=0)
