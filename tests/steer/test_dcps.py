"""DCPS on a Gaussian prior, where what its blocks approach is known."""

import jax
import numpy as np
import pytest

from genkit.diffusion import EDM, Cosine
from genkit.errors import UsageError
from genkit.steer import DCPS, dense, observe, posterior
from genkit.testing import gaussian_denoiser

D, STD, Y = 0.8, 0.5, 1.0
OBSERVATION = observe(dense([[0.48, 0.64]]), [Y], STD)
ALONG, ACROSS = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
PRIOR = gaussian_denoiser(process=Cosine())


def dcps_ideal(method, process):
    """Mean and variance along and variance across, where Langevin steps and gradient steps have done their work."""
    levels = method.levels(process)
    s, alpha = np.append(levels.s, 0.0), np.append(levels.alpha, 1.0)

    def jump(i, j):
        """Factor of x in the mean, and standard deviation."""
        keep, noise = (float(a[0]) for a in method.ddim(s[[i, j]], method.eta))
        pull = 1 / (1 + s[i] ** 2)
        return alpha[j] / alpha[i] * (pull + keep * (1 - pull)), alpha[j] * noise

    ends = method.ends(levels)
    m = v = free = 0.0
    for head, end in zip(ends, ends[1:], strict=False):
        g, _ = jump(head, end)
        v = 1 / (1 + (g * D / STD) ** 2)  # x has variance one at every level
        m, free = v * g * D * alpha[end] * Y / STD**2, 1.0
        for i in range(head, min(end, len(levels.s) - 1)):
            f, std = jump(i, i + 1)
            g, _ = jump(i + 1, end)
            c = 1 / (1 / std**2 + (g * D / STD) ** 2)
            m, v = c * (f * m / std**2 + g * D * alpha[end] * Y / STD**2), c + (c * f / std**2) ** 2 * v
            free = f**2 * free + std**2
    f, _ = jump(len(levels.s) - 1, len(levels.s))
    return f * m, f**2 * v, f**2 * free


def test_dcps_approaches_the_laws_of_its_blocks():
    """Steps along normalised noisy gradients end at their median, which leaves the variance a tenth too wide."""
    method = DCPS(steps=5, blocks=2, sigma_min=0.1, sigma_max=8.0, langevin=400, gamma=0.008, rounds=60, rate=0.02)
    assert float(method.table(Cosine()).first) == pytest.approx(1)  # a chain that keeps the variance begins so
    x = posterior(jax.random.key(0), method, PRIOR, OBSERVATION, groups=8000, particles=1).x[:, 0]
    mean, variance, free = dcps_ideal(method, Cosine())
    assert (x @ ALONG).mean() == pytest.approx(mean, abs=0.03)
    assert (x @ ALONG).var() == pytest.approx(1.08 * variance, rel=0.08)
    assert (x @ ACROSS).var() == pytest.approx(free, rel=0.07)


def test_calls_of_dcps():
    calls = []

    def prior(x, t, cond):
        jax.debug.callback(lambda: calls.append(x.shape))
        return x / (1 + t**2)

    method = DCPS(steps=4, blocks=1, langevin=3, rounds=2)
    posterior(jax.random.key(0), method, prior, OBSERVATION, groups=1, particles=4).x.block_until_ready()
    jax.effects_barrier()
    assert len(calls) == method.calls(EDM())


@pytest.mark.parametrize(
    ("options", "says"), [({"rounds": 0}, "rounds=0"), ({"eta": 0.0}, "eta=0.0"), ({"gamma": 0.0}, "gamma=0.0")]
)
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        DCPS(**options)


def test_levels_for_all_blocks():
    with pytest.raises(UsageError, match="two levels a block"):
        DCPS(steps=5).table(EDM())
