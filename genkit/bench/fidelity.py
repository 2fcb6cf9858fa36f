"""The suite `core.fidelity`: exact and published figures beside ours. A new sampler is a line in a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench.categorical import categorical
from genkit.bench.rows import Row
from genkit.diffusion import (
    DDIM,
    DDPM,
    EDM,
    RK3,
    RK4,
    VP,
    Ancestral,
    ClassifierFree,
    Cosine,
    Divergence,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    EDMDenoiser,
    Euler,
    Flow,
    Heun,
    LogNormal,
    NetworkDenoiser,
    Process,
    SubVP,
    denoising_loss,
    log_likelihood,
    sample,
)
from genkit.testing import gaussian_denoiser, gaussian_moments, gmm_denoiser

LOW, HIGH, STD = 0.002, 80.0, 0.5
NODES = (9, 17, 33, 65, 129, 257)

# Sampler, order, |x - exact flow| at the lowest level for each number of nodes: data N(0, 0.25), x = 80 at 80, nodes of
# Karras et al. 2022 (arXiv 2206.00364), eq. 5 with rho = 7. Figures worked out apart; ours must round to their digits.
CONVERGENCE = (
    ("Euler", Euler(), 1, "1.505e-1 8.135e-2 4.249e-2 2.172e-2 1.098e-2 5.520e-3"),
    ("Heun", Heun(), 2, "1.391e-1 3.145e-2 7.353e-3 1.777e-3 4.370e-4 1.083e-4"),
    ("DPM-Solver++(2S)", DPMpp2S(), 2, "4.609e-2 1.388e-2 3.754e-3 9.719e-4 2.469e-4 6.221e-5"),
    ("DPM-Solver++(2M)", DPMpp2M(), 2, "7.862e-2 3.526e-2 7.944e-3 1.844e-3 4.448e-4 1.093e-4"),
    ("DPM-Solver++(3M)", DPMpp3M(), 3, "- 4.24e-2 2.25e-3 2.61e-4 3.14e-5 3.84e-6"),
    ("public 3M", DPMpp3M(compat=True), None, "2.341e-1 1.287e-2 6.336e-4 3.313e-4 1.018e-4 2.768e-5"),
    ("RK3", RK3(), 3, "2.13e-3 5.15e-4 1.11e-4 1.65e-5 2.22e-6 2.87e-7"),
    ("RK4", RK4(), 4, "8.178e-3 6.158e-4 3.919e-5 2.449e-6 1.527e-7 9.525e-9"),
)

CHURN: dict[str, Any] = dict(churn=40.0, churn_min=0.05, churn_max=50.0)
# Variance of samples of N(0, 0.25); 18, 40 and 256 levels are those of Karras et al. 2022 for CIFAR-10, FFHQ, ImageNet.
VARIANCES = (
    ("Euler, 18 levels", Euler(18, LOW), 0.4230314364079774**2),
    ("DPM-Solver++(2M), 18 levels", DPMpp2M(18, LOW), 0.5311400744184355**2),
    ("Heun, 18 levels", Heun(18, LOW), 0.2783877575704868),
    ("Heun, 40 levels", Heun(40, LOW), 0.2549006484630832),
    ("Heun, 256 levels", Heun(256, LOW), 0.25009543378551),
    ("Heun, 256 levels, churn", Heun(256, LOW, **CHURN), 0.25098622427805845),
    ("Heun, 256 levels, churn, noise 1.003", Heun(256, LOW, **CHURN, churn_noise=1.003), 0.2524944004997455),
)

# The chain of DDPM from N(0, 1): variance of the steps, std of the data, variance of samples. The step to the data has
# no noise, so the large variance, which keeps 1 until then, ends with abar of the first step.
CHAIN: tuple[tuple[Any, float, float], ...] = (
    ("small", 0.5, 0.2461252113602836),
    ("large", 0.5, 0.250752075007364),
    ("small", 1.0, 0.9910673763521617),
    ("large", 1.0, 0.9999),
)
# DDIM on whole steps of that chain: number of steps, std of samples of N(0, 0.25).
SUBSEQUENCES = (
    (10, 0.36161172269556463),
    (20, 0.43045167833308084),
    (50, 0.4719151076392354),
    (100, 0.4858475896443185),
    (1000, 0.49849528299607054),
)

# Least loss per entry on N(0, std^2) at uniform times: process, what the network predicts, std, loss.
LEAST: tuple[tuple[Process, Any, float, str], ...] = (
    (VP(t_min=0.0), "eps", 0.5, "0.1733156"),
    (VP(t_min=0.0), "v", 0.5, "0.3799867"),
    (VP(t_min=0.0), "x0", 0.5, "0.2066711"),
    (VP(t_min=0.0), "eps", 1.0, "0.2759954"),
    (VP(t_min=0.0), "v", 1.0, "1.0000000"),
    (VP(t_min=0.0), "x0", 1.0, "0.7240046"),
    (Flow(0.0, 1.0), "flow", 0.5, "0.7853982"),
    (Flow(0.0, 1.0), "flow", 1.0, "1.5707963"),
)

# log N(x; 0, [[1, .6], [.6, .5]]) at (.4, -.2) by the flow between two levels, whose prior forgets the data's spread.
COV, POINT = np.array([[1.0, 0.6], [0.6, 0.5]]), (0.4, -0.2)
LIKELIHOODS = (
    (1e-6, 80.0, -1.6261476591736823),
    (1e-6, 10.0, -1.6197980069004636),
    (0.002, 80.0, -1.6261388839855737),
)

# Classifier-free guidance between N(1, .25) and N(0, 1.25) from level 80 to .002: w, std, and mean from x = 0.
GUIDED = (
    (0.0, 1.1179266104, 0.0),
    (1.0, 0.4999942346, 0.9937500721),
    (2.0, 0.2236231182, 1.3172194673),
    (3.0, 0.1000157513, 1.3962549199),
)

MAPPED = (VP(), SubVP(), Cosine(), Cosine(0.008), Flow())


@dataclass(frozen=True)
class Fidelity:
    """Exact and published figures beside ours: flows, orders, finite-step samples, losses, categorical chains."""

    def measure(self, profile: str) -> list[Row]:
        """Rows, in float64 where they are exact; the smoke profile has fewer nodes."""
        count = 3 if profile == "smoke" else len(NODES)
        with jax.enable_x64(True):
            rows = [*denoisers(), *flow(), *(row for one in CONVERGENCE for row in convergence(*one, count))]
            for name, sampler, expected in VARIANCES:
                rows.append(Row(f"variance of {name}", variance(sampler), "", expected, 1e-10, "data N(0, 0.25)"))
            rows += [*chain(), *mapped(), *likelihood(), *guided(), *least(), *preconditioning(), *categorical()]
        return [*rows, *losses(), *traces()]


def variance(sampler: Any, std: float = STD, process: Any = EDM()) -> float:
    """Variance of samples of N(0, std^2), exact."""
    return float(gaussian_moments(sampler, gaussian_denoiser(0.0, std, process=process))[1])


def printed(figure: str) -> tuple[float, float]:
    """A printed figure, and half a unit of its last digit relative to it."""
    mantissa, _, exponent = figure.partition("e")
    half = 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return float(figure), half / float(figure) * (1 + 1e-9)


def denoisers() -> Iterator[Row]:
    """Tweedie: the score of an oracle's density is (D - x) / sigma^2."""
    oracle = gmm_denoiser(
        [0.3, 0.7], [[-2.0, 0.5], [1.0, 0.0]], cov=[[[1.0, 0.6], [0.6, 0.5]], [[0.2, 0.0], [0.0, 0.1]]]
    )
    x, t = jax.random.normal(jax.random.key(0), (50, 2)), jnp.geomspace(0.1, 10.0, 50)
    score = jax.grad(lambda x: oracle.log_prob(x, t).sum())(x)
    worst = jnp.abs(EDM().score(x, t, oracle(x, t)) / score - 1).max()
    yield Row("score of a mixture by Tweedie, by differentiation", float(worst), "", 0.0, 1e-10, "largest difference")


def flow() -> Iterator[Row]:
    """The limit of many steps, by `sample`; the step to level 0 is exact as the lowest level goes to 0."""
    for low, final, expected in ((LOW, False, 0.4999942345669707), (1e-4, True, 0.499990234661093)):
        sampler = Heun(8193, low, HIGH, final=final)
        x = sample(jax.random.key(0), sampler, gaussian_denoiser(0.0, STD), (1,), noise=jnp.ones(1))
        name = f"probability flow from 80 at level 80 to {0 if final else low:g}"
        yield Row(name, float(x[0]), "", expected, 1e-6, "Heun, 8193 levels, data N(0, 0.25)")


def convergence(name: str, sampler: Any, order: int | None, errors: str, count: int) -> Iterator[Row]:
    """Errors at the lowest level, and the order fitted to those of 65 to 257 nodes."""
    exact = HIGH * np.sqrt((STD**2 + LOW**2) / (STD**2 + HIGH**2))  # dx/ds = (x - D)/s from 80 at 80
    nodes = NODES[:count]
    made = [replace(sampler, steps=n, sigma_min=LOW, sigma_max=HIGH, final=False) for n in nodes]
    ours = [abs(variance(one) ** 0.5 - exact) for one in made]
    for n, value, figure in zip(nodes, ours, errors.split(), strict=False):
        if figure != "-":
            yield Row(f"error of {name}, {n} nodes", value, "", *printed(figure), "data N(0, 0.25)")
    if order is not None and nodes == NODES:
        fitted = -np.polyfit(np.log(np.subtract(nodes[3:], 1)), np.log(ours[3:]), 1)[0]
        yield Row(f"order of {name}", float(fitted), "", order, 0.1 / order, "65 to 257 nodes")


def chain() -> Iterator[Row]:
    """Ho et al. 2020 (arXiv 2006.11239) and Song et al. 2021 (arXiv 2010.02502) with linear betas."""
    every: dict[str, Any] = dict(steps=1000, sigma_min=None, sigma_max=None, grid="time")
    for kind, std, expected in CHAIN:
        table = replace(Ancestral(variance=kind, **every).table(DDPM()), std=1.0)
        name = f"variance of DDPM, {kind} variance, data N(0, {std**2:g})"
        yield Row(name, variance(table, std, DDPM()), "", expected, 1e-9, "1000 steps from N(0, 1)")
    for steps, expected in SUBSEQUENCES:
        table = replace(DDIM(times=tuple(np.round(np.linspace(999, 0, steps)))).table(DDPM()), std=1.0)
        value = variance(table, STD, DDPM()) ** 0.5
        yield Row(f"std of DDIM, {steps} steps", value, "", expected, 1e-9, "data N(0, 0.25), from N(0, 1)")


def mapped() -> Iterator[Row]:
    """Every process is EDM after division by alpha, so samples on mapped grids agree."""
    z = jnp.linspace(-2, 2, 5)[:, None]

    def end(process: Any) -> jax.Array:
        denoiser = gmm_denoiser([0.3, 0.7], [[-2.0], [1.0]], std=[0.3, 0.5], process=process)
        return sample(jax.random.key(0), Heun(12, 0.05, 30.0), denoiser, (5, 1), noise=z)

    edm = end(EDM())
    for process in MAPPED:
        worst = float(jnp.abs(end(process) - edm).max())
        yield Row(f"samples of {process} beside those of EDM", worst, "", 0.0, 1e-12, "Heun, largest difference")


def likelihood() -> Iterator[Row]:
    """Song et al. 2021 (arXiv 2011.13456), eq. 39, on a correlated Gaussian."""
    for low, high, expected in LIKELIHOODS:
        denoiser = gaussian_denoiser(0.0, cov=COV)
        found = log_likelihood(
            jax.random.key(0), jnp.array([POINT]), denoiser, steps=600, sigma_min=low, sigma_max=high
        )
        name = f"log-likelihood of a Gaussian, levels {low:g} to {high:g}"
        yield Row(name, float(found.log_p[0]), "", expected, 1e-6, "RK4, 600 steps")


def guided() -> Iterator[Row]:
    """Ho and Salimans 2022 (arXiv 2207.12598): it is no tempered posterior."""
    given, free = gaussian_denoiser(1.0, 0.5), gaussian_denoiser(0.0, 1.25**0.5)

    def pair(x: jax.Array, t: jax.Array, cond: Any = None) -> jax.Array:
        return jnp.where(cond > 0.5, given(x, t), free(x, t))

    z, sampler = jnp.array([[0.0], [1.0]]), RK4(2000, LOW, HIGH, final=False)
    for w, std, mean in GUIDED:
        x = sample(jax.random.key(0), sampler, ClassifierFree(w)(pair), (2, 1), jnp.ones((2, 1)), noise=z)[:, 0]
        for what, value, expected in (("std", x[1] - x[0], std), ("mean", x[0], mean)):
            yield Row(f"{what} under guidance w = {w:g}", float(value), "", expected, 1e-8, "RK4, 2000 levels")


def least() -> Iterator[Row]:
    """The loss weight times Var(x_0 | x_t) = s^2 sigma^2 / (alpha^2 s^2 + sigma^2), integrated over t."""
    node, weight = np.polynomial.legendre.leggauss(400)
    t = jnp.asarray((node + 1) / 2)
    for process, predicts, s, figure in LEAST:
        alpha, sigma = process.alpha(t), process.sigma(t)
        spread = s**2 * sigma**2 / (alpha**2 * s**2 + sigma**2)
        value = weight / 2 @ (NetworkDenoiser(_zero, None, process, predicts).loss_weight(t) * spread)
        name = f"least loss of {type(process).__name__}, {predicts}, data N(0, {s**2:g})"
        yield Row(name, float(value), "", *printed(figure), "Gauss-Legendre")


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
    yield Row("least EDM loss, data N(0, 0.25)", float(value), "", 1.0, 0.01, "Monte-Carlo, 4e5 numbers")


def traces() -> Iterator[Row]:
    """Hutchinson's estimates of the trace of [[2, 1], [1, 3]], whose variances have closed forms."""
    jacobian, n = jnp.array([[2.0, 1.0], [1.0, 3.0]]), 100_000
    for estimate, expected in ((Divergence("rademacher"), 4.0), (Divergence("gaussian"), 30.0)):
        vectors = estimate.draw(jax.random.split(jax.random.key(0), n), (n, 2), jnp.float32)
        _, found = estimate(lambda x: x @ jacobian, jnp.zeros((n, 2)), vectors)
        yield Row(f"mean of the {estimate.trace} trace", float(found.mean()), "", 5.0, 0.02, f"{n} probes")
        yield Row(f"variance of the {estimate.trace} trace", float(found.var()), "", expected, 0.02, f"{n} probes")


def _zero(params: Any, x: jax.Array, c_noise: jax.Array, cond: Any) -> jax.Array:
    return jnp.zeros_like(x)
