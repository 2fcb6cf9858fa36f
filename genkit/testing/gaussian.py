"""What a sampler does to Gaussian data, where it is affine: exact figures without Monte-Carlo.

On N(mean, std^2) a step multiplies x - mean by a gain m and adds noise of known standard deviation c, so the
variance obeys v <- m^2 v + c^2. Gains come from differentiating the kernel, c from its table.
"""

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion.samplers import OneStep, Particle
from genkit.testing.oracles import gaussian_denoiser

Array = jax.Array


def gaussian_gains(sampler: OneStep, std: float, mean: float = 0.7) -> Array:
    """Gain of each step of a one-step sampler but the last one to level zero, (steps - 1,)."""
    table = sampler.table()
    (kernel, steps), _ = table.model(gaussian_denoiser(mean, std), (1,)).stages
    return _gains(kernel, steps, np.append(table.level[2], steps.level[:-1, 1]))


def gaussian_variance(sampler: OneStep, std: float) -> float:
    """Variance of the samples that a one-step sampler, with its churn, draws of data of variance std^2."""
    table = sampler.table()
    noises, last = table.steps.noise[:, 1], table.steps.level[-1, 1]
    v = table.level[0] ** 2 + table.level[1] ** 2
    for gain, noise in zip(np.asarray(gaussian_gains(sampler, std)), noises, strict=True):
        v = gain**2 * v + noise**2
    return float(v * (std**2 / (std**2 + last**2)) ** 2)


@jax.jit
def _gains(kernel, steps, levels):
    def gain(u, level):
        def end(x):
            p = Particle(x[None], kernel.denoiser(x[None], level))  # the denoised value follows the state
            return kernel.move(jax.random.split(jax.random.key(0), 1), p, u).x[0]

        return jax.jacfwd(end)(jnp.asarray(3.0))

    return jax.vmap(gain)(steps, levels)
