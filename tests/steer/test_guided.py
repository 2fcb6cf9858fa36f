"""PiGDM and DPS: no weights, so only what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import start
from genkit.diffusion import VP
from genkit.errors import UsageError
from genkit.steer import DPS, PiGDM, dense, observe, posterior
from genkit.testing import gaussian_denoiser, gmm_denoiser

OBSERVATION = observe(dense([[0.48, 0.64]]), [1.0], 0.5)


@pytest.mark.parametrize(("eta", "steps"), [(0.0, 150), (1.0, 600)])  # the noise makes it converge more slowly
def test_pigdm_is_exact_for_gaussian_data_in_the_limit_of_small_steps(eta, steps):
    """Prior N(0, 4 I), measured 0.8 along one direction: variance 1 / (1 / 4 + 0.64 / 0.25) and mean 3.2 times it."""
    method = PiGDM(steps=steps, sigma_min=0.01, eta=eta, spread=2.0)
    prior = gaussian_denoiser(std=2.0, process=VP())
    draws = posterior(jax.random.key(0), method, prior, OBSERVATION, groups=20_000, particles=1)
    along, across = draws.x[:, 0] @ jnp.array([0.6, 0.8]), draws.x[:, 0] @ jnp.array([-0.8, 0.6])
    variance = 1 / (1 / 4 + 0.64 / 0.25)
    assert along.mean() == pytest.approx(0.8 / 0.25 * variance, abs=0.02)
    assert along.var() == pytest.approx(variance, rel=0.05)
    assert across.var() == pytest.approx(4.0, rel=0.05)
    assert (draws.log_z == 0).all()


def test_a_step_of_dps():
    """x' = the ancestral step - scale grad |y - A D|, in the units of x, with the gradient by jax."""
    prior = gmm_denoiser([0.4, 0.6], [[-1.0, 0.5], [1.0, 0.0]], std=[0.5, 0.7], process=VP())
    t, t1, scale = 0.6, 0.4, 0.3
    a, a1 = (float(VP().alpha(u)) for u in (t, t1))
    s, s1 = (float(VP().ratio(u)) for u in (t, t1))
    with jax.enable_x64(True):
        model = DPS(times=(t, t1), scale=scale).model(prior, OBSERVATION)
        p = start(jax.random.key(0), model, 5).p
        kernel, inputs = model.stages[0]
        u = jax.tree.map(lambda v: jnp.asarray(v[0]), inputs)
        keys = jax.random.split(jax.random.key(1), 5)
        operator = OBSERVATION.operator
        after = operator.from_basis(kernel.move(keys, p, u).z) * a1
        x = operator.from_basis(p.z) * a
        noise = s1 * np.sqrt(s**2 - s1**2) / s * operator.from_basis(kernel.guide.basis.noise(keys))

        def distance(x):
            return jnp.linalg.norm(OBSERVATION.y - operator(prior(x, jnp.asarray(t))), axis=1).sum()

        mean = prior(x, jnp.asarray(t)) + s1**2 / s**2 * (x / a - prior(x, jnp.asarray(t)))
        expected = a1 * (mean + noise) - scale * jax.grad(distance)(x)
        np.testing.assert_allclose(after, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: PiGDM(spread=0.0), "spread=0"), (lambda: DPS(scale=-1.0), "scale=-1"),
     (lambda: PiGDM(eta=2.0).table(VP()), "eta=2.0")],
)  # fmt: skip
def test_wrong_options(make, says):
    with pytest.raises(UsageError, match=says):
        make()
