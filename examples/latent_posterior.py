"""A measurement through a decoder: the posterior in the latent space of a model, with the decoder in the operator.

    python examples/latent_posterior.py

Latents z of two numbers have a diffusion prior (here a mixture with its exact denoiser), a decoder makes curves of 20
points of them, and six points of one curve are counted: y ~ Poisson(10 e^curve). Prints the mean of z by two methods
beside that on a grid, and writes latent_posterior.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from genkit.steer import TDS, ESSFlow, Poisson, function, observe, posterior
from genkit.testing import gmm_denoiser

PRIOR = gmm_denoiser([0.5, 0.5], [[-1.0, 0.5], [1.0, -0.5]], std=[0.5, 0.5])
PLACES, SEEN, GAIN = jnp.linspace(0, 1, 20), jnp.arange(0, 20, 4), 10.0


def decode(z: jax.Array) -> jax.Array:
    """Curves (n, 20) of latents (n, 2)."""
    return jnp.sin(3 * PLACES * z[:, :1]) + z[:, 1:] * PLACES**2


def main(out: Path = Path(), n: int = 1000) -> dict[str, float]:
    """Compare; returns the largest error of the mean of z, by method."""
    out.mkdir(parents=True, exist_ok=True)
    rates = function(lambda z: jnp.exp(decode(z)[:, SEEN]), shape=(2,))
    y = np.random.default_rng(0).poisson(GAIN * rates(jnp.array([[0.8, -0.3]]))[0])
    observation = observe(rates, y, Poisson(GAIN))

    grid = jnp.stack(jnp.meshgrid(*[jnp.linspace(-4, 4, 400)] * 2), -1).reshape(-1, 2)
    log_p = PRIOR.log_prob(grid, 0.0) + observation.log_prob(grid)
    exact = jax.nn.softmax(log_p) @ grid
    print(f"{'mean of z':<10} {exact[0]:8.3f} {exact[1]:8.3f}   on a grid")

    methods = {
        "TDS": (TDS(steps=40, sigma_max=10.0), 32),
        "ESSFlow": (ESSFlow(steps=30, sigma_max=10.0), 1),
    }
    errors, figure = {}, Figure(figsize=(7, 3), layout="constrained")
    for axes, (name, (method, particles)) in zip(figure.subplots(1, 2, sharey=True), methods.items(), strict=True):
        z = posterior(jax.random.key(0), method, PRIOR, observation, groups=n, particles=particles).x[:, 0]
        errors[name] = float(jnp.abs(z.mean(0) - exact).max())
        print(f"{name:<10} {z[:, 0].mean():8.3f} {z[:, 1].mean():8.3f}")
        axes.plot(PLACES, decode(z[:50]).T, color="C0", lw=0.4)
        axes.plot(PLACES[SEEN], np.log(np.maximum(y, 0.5) / GAIN), "k.", label="log of the counts")
        axes.set(title=name, xlabel="place")
    figure.savefig(out / "latent_posterior.png", dpi=120)
    return errors


if __name__ == "__main__":
    main()
