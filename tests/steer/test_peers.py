"""FPS, DCPS and RED-diff on a Gaussian prior, where what each of them approaches is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from genkit.chain import run, start
from genkit.diffusion import EDM, Cosine
from genkit.errors import UsageError
from genkit.steer import DCPS, FPS, REDDiff, dense, observe, posterior
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


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_red_diff_balances_the_data_and_the_prior(power):
    """At one level: d (d m - y) + weight s^power s m / (1 + s^2) = 0."""
    times = tuple(np.linspace(2.001, 2.0, 600))
    method = REDDiff(times=times, weight=0.5, data=1.5, power=power)
    x = posterior(jax.random.key(0), method, gaussian_denoiser(), OBSERVATION, groups=2000, particles=1).x[:, 0]
    assert (x @ ALONG).mean() == pytest.approx(1.5 * D * Y / (1.5 * D**2 + 0.5 * 2**power * 2 / 5), abs=0.01)
    assert (x @ ACROSS).mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: FPS(eta=0.0), "eta=0.0"), (lambda: REDDiff(weight=0.0), "weight=0.0"),
     (lambda: DCPS(rounds=0), "rounds=0"),
     (lambda: DCPS(eta=0.0), "eta=0.0"), (lambda: DCPS(gamma=0.0), "gamma=0.0"),
     (lambda: DCPS(steps=5).table(EDM()), "two levels a block")],
)  # fmt: skip
def test_wrong_options(make, says):
    with pytest.raises(UsageError, match=says):
        make()
