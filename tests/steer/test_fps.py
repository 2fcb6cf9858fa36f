"""FPS on a Gaussian prior, where its filter is one of Kalman."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genkit.chain import run, start
from genkit.diffusion import Cosine
from genkit.errors import UsageError
from genkit.steer import FPS, dense, observe
from genkit.steer.posterior import EVERY_STEP
from genkit.testing import gaussian_denoiser

D, STD, Y = 0.8, 0.5, 1.0
OBSERVATION = observe(dense([[0.48, 0.64]]), [Y], STD)
ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
PRIOR = gaussian_denoiser(process=Cosine())


def shared(state):
    return state.shared


def test_fps_filters_its_own_sequence():
    """Evidence and mean given the noised measurements of a group, by a Kalman filter on them."""
    method = FPS(steps=8, sigma_min=0.3, sigma_max=5.0, eta=0.7)
    table = method.table(Cosine())
    keep, noise, s = table.steps.keep, table.steps.noise, method.levels(Cosine()).s

    def group(key):
        model = table.model(PRIOR, OBSERVATION)
        last, (v, _) = run(key, start(key, model, 1000), model.stages, EVERY_STEP, keep=shared)
        mean = (jnp.exp(last.log_w) * (last.p @ jnp.asarray(ALONG))).sum()
        return last.log_z, v[:, 0], mean, (last.p @ jnp.asarray(ACROSS)).var()

    with jax.enable_x64(True):
        results = jax.jit(jax.vmap(group))(jax.random.split(jax.random.key(0), 200))
        log_z, v, mean, across = jax.tree.map(np.asarray, results)
    assert v.shape == (200, 8)
    v = v * np.sign(OBSERVATION.coordinates[0])  # of the singular vectors, which are ALONG but for a sign
    centre = Y / D
    residual = (v - centre - keep * np.pad(v - centre, ((0, 0), (1, 0)))[:, :-1]) / noise
    assert np.abs(residual.mean(0)).max() < 4 / 200**0.5 and residual.std() == pytest.approx(1, abs=0.06)

    m, p, total, free = np.zeros(200), 0.0, np.zeros(200), 0.0
    for k in range(8):
        pull = 1 / (1 + s[k - 1] ** 2) if k else 0.0  # D = z / (1 + s^2)
        f = pull + keep[k] * (1 - pull)
        m, p, free = f * m, f**2 * p + noise[k] ** 2, f**2 * free + noise[k] ** 2
        total += norm.logpdf(D * v[:, k], D * m, np.sqrt(STD**2 + D**2 * p))
        gain = p * D / (STD**2 + D**2 * p)
        m, p = m + gain * (D * v[:, k] - D * m), p * (1 - gain * D)
    f = 1 / (1 + s[-1] ** 2)
    m, p, free = f * m, f**2 * p, f**2 * free
    total += norm.logpdf(Y, D * m, np.sqrt(STD**2 + D**2 * p))
    m = m + p * D / (STD**2 + D**2 * p) * (Y - D * m)
    z = np.exp(log_z - total)
    error = z.std() / 200**0.5
    assert error < 0.01 and abs(z.mean() - 1) < 4 * error
    gap = (mean - m) * z
    assert gap.std() / 200**0.5 < 0.005 and abs(gap.mean()) < 4 * gap.std() / 200**0.5
    assert across.mean() == pytest.approx(free, rel=0.02)


@pytest.mark.parametrize(("options", "says"), [({"eta": 0.0}, "eta=0.0")])
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        FPS(**options)
