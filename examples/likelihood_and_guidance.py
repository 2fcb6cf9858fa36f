"""Likelihood and guidance where the truth is known: a mixture of two Gaussians with its exact denoiser.

    python examples/likelihood_and_guidance.py

prints two tables and writes likelihood_and_guidance.png. The denoiser could as well be a trained one. On a mixture no
guidance by approximate likelihoods is exact, as the table shows: each gets the weights of the two bumps wrong.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from genkit.diffusion import Heun, log_likelihood, sample
from genkit.steer import MMPS, PiGDM, dense, observe
from genkit.testing import gmm_denoiser

WEIGHTS, MEANS, STD = np.array([0.3, 0.7]), np.array([[-1.5, 0.0], [1.0, 0.5]]), np.array([0.4, 0.6])
DENOISER = gmm_denoiser(WEIGHTS, MEANS, std=STD)
ROW, Y, NOISE = np.array([[1.0, 1.0]]), np.array([0.0]), 0.2  # observed: x_1 + x_2 = 0 +- 0.2


def posterior_mean() -> np.ndarray:
    """E[x | y] in closed form, (2,)."""
    spread = (ROW @ ROW.T)[0, 0] * STD**2 + NOISE**2
    gap = Y - MEANS @ ROW[0]
    weight = WEIGHTS * np.exp(-0.5 * gap**2 / spread) / np.sqrt(spread)
    means = MEANS + (STD**2 / spread * gap)[:, None] * ROW
    return weight @ means / weight.sum()


def main(out: Path = Path(), n: int = 4000) -> dict[str, float]:
    """Compare; returns the largest error of log p and the error of the posterior mean of each method."""
    out.mkdir(parents=True, exist_ok=True)
    x = jnp.array([[-1.5, 0.0], [1.0, 0.5], [0.0, 0.0], [2.0, -1.0]])
    exact = DENOISER.log_prob(x, 0.002)
    found = log_likelihood(jax.random.key(0), x, DENOISER, steps=200, sigma_max=1000.0).log_p
    print(f"{'x':>12} {'log p':>10} {'by the flow':>12}")
    for point, a, b in zip(x, exact, found, strict=True):
        print(f"{point[0]:>6.1f}{point[1]:>6.1f} {a:>10.5f} {b:>12.5f}")
    results = {"log_p": float(jnp.abs(found - exact).max())}

    draws = {"no guidance": sample(jax.random.key(1), Heun(40, 0.01), DENOISER, (n, 2))}
    exact_mean = posterior_mean()
    print(f"\n{'posterior mean':<14} {'x_1':>8} {'x_2':>8}\n{'exact':<14} {exact_mean[0]:8.3f} {exact_mean[1]:8.3f}")
    observation = observe(dense(ROW), Y, NOISE)
    for kind, method in (("pigdm", PiGDM(spread=1.0)), ("mmps", MMPS())):
        guided = method.guidance(observation)(DENOISER)
        draws[kind] = sample(jax.random.key(1), Heun(40, 0.01), guided, (n, 2))
        mean = draws[kind].mean(0)
        print(f"{kind:<14} {mean[0]:8.3f} {mean[1]:8.3f}")
        results[kind] = float(np.abs(mean - exact_mean).max())
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, 3), draws.items(), strict=True):
        axes.plot([-3, 3], [3, -3], color="0.7", lw=1)
        axes.scatter(*points.T, s=2, alpha=0.4, lw=0)
        axes.set(title=name, xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    figure.savefig(out / "likelihood_and_guidance.png", dpi=120)
    return results


if __name__ == "__main__":
    main()
