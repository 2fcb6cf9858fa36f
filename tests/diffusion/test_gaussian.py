"""Samplers on Gaussian data, where every one of them is affine: exact figures without Monte-Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.diffusion import DPMpp2S, Heun, sample
from genkit.diffusion.samplers import Particle
from genkit.testing import gaussian_denoiser, gaussian_gains, gaussian_variance

MEAN = 0.7
GENCAST = dict(churn=2.5, churn_min=0.75, churn_noise=1.05)

# steps, lowest, highest level, std of the data; std of samples: Heun, 2S, Heun with churn, 2S with churn
TABLE = [
    (18, 0.002, 80.0, 0.5, 0.527625, 0.487567, 0.563795, 0.508478),
    (20, 0.03, 80.0, 0.5, 0.515223, 0.491452, 0.546787, 0.513720),
    (20, 0.03, 80.0, 1.0, 1.025726, 0.986702, 1.091376, 1.029007),
    (20, 0.02, 88.0, 1.0, 1.028658, 0.985774, 1.095382, 1.027359),
    (40, 0.002, 80.0, 1.0, 1.007901, 0.995696, 1.059517, 1.040989),
    (10, 0.03, 80.0, 1.0, 1.128004, 0.949151, 1.268575, 0.975661),
    (5, 0.03, 80.0, 1.0, 1.883991, 0.819508, 2.575880, 0.821349),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r[0]}-{r[3]}")
def test_spread_of_samples(row):
    steps, low, high, std, *expected = row
    grid = dict(steps=steps, sigma_min=low, sigma_max=high)
    samplers = [make(**grid, **churn) for churn in ({}, GENCAST) for make in (Heun, DPMpp2S)]
    with jax.enable_x64(True):
        np.testing.assert_allclose([gaussian_variance(s, std) ** 0.5 for s in samplers], expected, atol=6e-7)


def test_variance_of_heun_to_ten_digits():
    def heun(steps, **churn):
        return Heun(steps, 0.002, 80.0, **churn)

    churn = dict(churn=40.0, churn_min=0.05, churn_max=50.0)
    with jax.enable_x64(True):
        for sampler, expected in (
            (heun(18), 0.2783877575704868),
            (heun(40), 0.2549006484630832),
            (heun(256), 0.25009543378551),
            (heun(256, **churn), 0.25098622427805845),
            (heun(256, **churn, churn_noise=1.003), 0.2524944004997455),
        ):
            np.testing.assert_allclose(gaussian_variance(sampler, 0.5), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "make, expected",
    [
        (Heun, (1.391e-1, 3.145e-2, 7.353e-3, 1.777e-3, 4.370e-4, 1.083e-4)),
        (DPMpp2S, (4.609e-2, 1.388e-2, 3.754e-3, 9.719e-4, 2.469e-4, 6.221e-5)),
    ],
)
def test_second_order(make, expected):
    """Error at the lowest level against the exact flow x(b) = x(a) sqrt((s^2 + b^2) / (s^2 + a^2))."""
    exact = 80 * np.sqrt((0.25 + 0.002**2) / (0.25 + 80**2))
    np.testing.assert_allclose(exact, 0.4999942345669707, rtol=1e-14)
    nodes = [9, 17, 33, 65, 129, 257]
    with jax.enable_x64(True):
        error = [abs(80 * np.prod(gaussian_gains(make(n, 0.002, 80.0), 0.5)) - exact) for n in nodes]
    np.testing.assert_allclose(error, expected, rtol=6e-4)
    order = -np.polyfit(np.log([64, 128, 256]), np.log(error[3:]), 1)[0]
    assert abs(order - 2) < 0.1


@pytest.mark.parametrize("make", [Heun, DPMpp2S])
def test_move_is_affine_with_the_stated_noise(make):
    with jax.enable_x64(True):
        denoiser = gaussian_denoiser(MEAN, 0.5)
        sampler = make(6, **GENCAST)
        gain = gaussian_gains(sampler, 0.5)[2]
        (kernel, steps), _ = sampler.model(denoiser, (4, 3)).stages
        keys = jax.random.split(jax.random.key(1), 4)
        x, eps = jnp.arange(12.0).reshape(4, 3), jax.vmap(lambda k: jax.random.normal(k, (3,)))(keys)
        u = jax.tree.map(lambda a: a[2], steps)
        p = kernel.move(keys, Particle(x, denoiser(x, steps.level[1, 1])), u)
        assert steps.noise[2, 1] > 0
        np.testing.assert_allclose(p.x, MEAN + gain * (x - MEAN) + steps.noise[2, 1] * eps, rtol=1e-12)
        np.testing.assert_allclose(p.denoised, denoiser(p.x, u.level[1]), rtol=1e-12)


@pytest.mark.parametrize("make, column", [(Heun, 4), (DPMpp2S, 5)])
@pytest.mark.parametrize("x64", [True, False])
def test_whole_run(make, column, x64):
    """`sample` itself: gain from the first noise to the sample."""
    row = TABLE[2]
    sampler, denoiser = make(*row[:3]), gaussian_denoiser(MEAN, row[3])
    with jax.enable_x64(x64):
        z = jnp.array([0.0, 1.0, -2.0])
        x = sample(jax.random.key(0), sampler, denoiser, (3,), noise=z)
        # 0 is not quite mapped to the mean: the flow ends at mu (1 - gain / 80)
        gain = x[1] - x[0]
        np.testing.assert_allclose(gain, row[column], rtol=1e-6 if x64 else 1e-4)
        np.testing.assert_allclose(x, MEAN + gain * (z - MEAN / row[2]), rtol=1e-10 if x64 else 1e-4)


@pytest.mark.parametrize("make, column", [(Heun, 6), (DPMpp2S, 7)])
def test_churn_draws_fresh_noise_each_step(make, column):
    x = sample(jax.random.key(0), make(*TABLE[2][:3], **GENCAST), gaussian_denoiser(), (40_000,))
    np.testing.assert_allclose([x.mean(), x.std()], [0, TABLE[2][column]], atol=0.016)
