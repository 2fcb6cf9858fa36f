"""The suite `core.fidelity`: exact and published figures beside ours. A new sampler is a line in a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench.rows import Row
from genkit.diffusion import EDM, DPMpp2S, EDMDenoiser, Heun, LogNormal, denoising_loss, sample
from genkit.testing import gaussian_denoiser, gaussian_variance, gmm_denoiser

LOW, HIGH, STD = 0.002, 80.0, 0.5
NODES = (9, 17, 33, 65, 129, 257)

# Sampler, its order, |x - exact flow| at the lowest level for each number of nodes; data N(0, 0.25), x = 80 at 80,
# nodes of Karras et al. 2022 (arXiv 2206.00364), eq. 5 with rho = 7. Four digits of float64 figures worked out apart.
CONVERGENCE = (
    (Heun, 2, (1.391e-1, 3.145e-2, 7.353e-3, 1.777e-3, 4.370e-4, 1.083e-4)),
    (DPMpp2S, 2, (4.609e-2, 1.388e-2, 3.754e-3, 9.719e-4, 2.469e-4, 6.221e-5)),
)

# Standard deviation of samples without churn: what becomes of 80 at level 80. Exact flow: 0.499990234661093.
GAINS = ((Heun, 18, 0.527624637001047),)

CHURN = dict(churn=40.0, churn_min=0.05, churn_max=50.0)
# Variance of samples of N(0, 0.25), the settings of Karras et al. 2022 for CIFAR-10, FFHQ and ImageNet-64.
VARIANCES = (
    ("Heun, 18 levels", Heun(18, LOW), 0.2783877575704868),
    ("Heun, 40 levels", Heun(40, LOW), 0.2549006484630832),
    ("Heun, 256 levels", Heun(256, LOW), 0.25009543378551),
    ("Heun, 256 levels, churn", Heun(256, LOW, **CHURN), 0.25098622427805845),
    ("Heun, 256 levels, churn, noise 1.003", Heun(256, LOW, **CHURN, churn_noise=1.003), 0.2524944004997455),
)


@dataclass(frozen=True)
class Fidelity:
    """Exact and published figures beside ours: flows, orders, finite-step samples, losses, preconditioning."""

    def measure(self, profile: str) -> list[Row]:
        """Rows, in float64 where they are exact; the smoke profile has fewer nodes."""
        count = 4 if profile == "smoke" else len(NODES)
        with jax.enable_x64(True):
            rows = [*denoisers(), *flow()]
            for sampler, order, errors in CONVERGENCE:
                rows += convergence(sampler, order, errors[:count])
            for sampler, steps, expected in GAINS:
                name = f"gain of {sampler.__name__}, {steps} levels"
                rows.append(Row(name, gain(sampler(steps, LOW, HIGH)), "", expected, 1e-10, "data N(0, 0.25)"))
            for name, made, expected in VARIANCES:
                value = gaussian_variance(made, STD)
                rows.append(Row(f"variance of {name}", value, "", expected, 1e-10, "data N(0, 0.25)"))
            rows += preconditioning()
        return [*rows, *losses()]


def gain(sampler: Any) -> float:
    """Standard deviation of samples of N(0, 0.25) by a deterministic sampler: the sample from noise 1."""
    return float(sample(jax.random.key(0), sampler, gaussian_denoiser(0.0, STD), (1,), noise=jnp.ones(1))[0])


def at_lowest(x: float) -> float:
    """x at the lowest level from the sample, which is D(x; sigma_min)."""
    return x * (STD**2 + LOW**2) / STD**2


def exact(level: float) -> float:
    """The probability-flow ODE from x = 80 at 80: x(b) = x(a) sqrt((s^2 + b^2) / (s^2 + a^2))."""
    return HIGH * np.sqrt((STD**2 + level**2) / (STD**2 + HIGH**2))


def denoisers() -> Iterator[Row]:
    """Tweedie: the score of an oracle's density is (D - x) / sigma^2."""
    oracle = gmm_denoiser(
        [0.3, 0.7], [[-2.0, 0.5], [1.0, 0.0]], cov=[[[1.0, 0.6], [0.6, 0.5]], [[0.2, 0.0], [0.0, 0.1]]]
    )
    x, t = jax.random.normal(jax.random.key(0), (50, 2)), jnp.geomspace(0.1, 10.0, 50)
    score = jax.grad(lambda x: oracle.log_prob(x, t).sum())(x)
    worst = jnp.abs(EDM.score(x, t, oracle(x, t)) / score - 1).max()
    yield Row("score of a mixture by Tweedie, by differentiation", float(worst), "", 0.0, 1e-10, "largest difference")


def flow() -> Iterator[Row]:
    """The limit of many steps; the step to level 0 is exact as the lowest level goes to 0."""
    near, far = gain(Heun(8193, LOW, HIGH)), gain(Heun(8193, 1e-4, HIGH))
    for level, value, expected in ((LOW, at_lowest(near), 0.4999942345669707), (0.0, far, 0.499990234661093)):
        note = "Heun, 8193 levels, data N(0, 0.25)"
        yield Row(f"probability flow from 80 at level 80 to {level:g}", value, "", expected, 1e-6, note)


def convergence(sampler: Any, order: int, errors: tuple[float, ...]) -> Iterator[Row]:
    """Errors at the lowest level, and the order fitted to those of 65 to 257 nodes."""
    nodes, name = NODES[: len(errors)], sampler.__name__
    ours = [abs(at_lowest(gain(sampler(n, LOW, HIGH))) - exact(LOW)) for n in nodes]
    for n, value, expected in zip(nodes, ours, errors, strict=True):
        yield Row(f"error of {name}, {n} nodes", value, "", expected, 6e-4, "data N(0, 0.25)")
    if nodes == NODES:
        fitted = -np.polyfit(np.log(np.subtract(nodes[3:], 1)), np.log(ours[3:]), 1)[0]
        yield Row(f"order of {name}", fitted, "", order, 0.05, "65 to 257 nodes")


def preconditioning() -> Iterator[Row]:
    """Karras et al. 2022, Table 1 and appendix B.6: what their coefficients were chosen for."""
    note, s, sigma = "largest deviation, Karras et al. 2022, B.6", STD, jnp.geomspace(1e-3, 1e2, 40)
    denoiser = EDMDenoiser(_zero, None, s)
    c_skip, c_out, c_in, _ = denoiser.coefficients(sigma)
    target = ((1 - c_skip) ** 2 * s**2 + c_skip**2 * sigma**2) / c_out**2
    linear = denoiser(jnp.ones((40, 1)), sigma)[:, 0]
    for name, value, expected in (
        ("EDM: loss weight times c_out^2", denoiser.loss_weight(sigma) * c_out**2, 1.0),
        ("EDM: variance of the input of F", c_in**2 * (s**2 + sigma**2), 1.0),
        ("EDM: variance of the target of F", target, 1.0),
        ("EDM: D at F = 0 divided by the best linear one", linear / (s**2 / (s**2 + sigma**2)), 1.0),
    ):
        worst = value[jnp.argmax(jnp.abs(value - expected))]
        yield Row(name, float(worst), "", expected, 1e-12, note)


def losses() -> Iterator[Row]:
    """The least loss of EDM training on Gaussian data of standard deviation sigma_data, which F = 0 reaches."""
    x0 = STD * jax.random.normal(jax.random.key(1), (100_000, 4))
    value = denoising_loss(jax.random.key(0), EDMDenoiser(_zero, None, STD), x0, None, LogNormal())
    yield Row("least EDM loss on Gaussian data", float(value), "", 1.0, 0.01, "Monte-Carlo, 4e5 numbers")


def _zero(params: Any, x: jax.Array, c_noise: jax.Array, cond: Any) -> jax.Array:
    return jnp.zeros_like(x)
