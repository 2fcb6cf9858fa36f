"""Samplers beside those of other toolkits, on the CPU, with the same closed-form denoiser:

    genkit bench benchmarks.peers:Peers

needs torch and diffusers. All draw N(mean, 1/4) by the same algorithm from 18 noise levels. The peer of EDM is a plain
loop of its Algorithm 1 with the state in float64, as the authors write it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np

from genkit.bench import Row, Timed
from genkit.diffusion import DPMpp2M, Euler, Heun, rho_grid, sample
from genkit.errors import GenkitError
from genkit.testing import gaussian_denoiser

STEPS, LOW, HIGH, STD, MEAN = 18, 0.002, 80.0, 0.5, 0.7
SHAPES = {"smoke": ((4, 2),), "full": ((64, 3, 32, 32), (4096, 2))}


def denoised(x, sigma):
    """E[x_0 | x] of N(MEAN, STD^2), numbers or torch tensors."""
    return (STD**2 * x + sigma**2 * MEAN) / (STD**2 + sigma**2)


def edm_loop(shape):
    """Heun's method, Karras et al. 2022, Algorithm 1."""
    import torch

    t = torch.as_tensor(rho_grid(STEPS, LOW, HIGH), dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64) * t[0]
    for now, after in zip(t[:-1], t[1:], strict=True):
        slope = (x - denoised(x.float(), now.float()).double()) / now
        y = x + (after - now) * slope
        if after > 0:
            again = (y - denoised(y.float(), after.float()).double()) / after
            y = x + (after - now) * (slope + again) / 2
        x = y
    return x


def diffusers_loop(make):
    """Sampling by a scheduler of diffusers in the units of EDM, whose network output is F of the preconditioning."""

    def draw(shape):
        import torch

        scheduler = make(sigma_min=LOW, sigma_max=HIGH, sigma_data=STD, sigma_schedule="karras", rho=7.0)
        scheduler.set_timesteps(STEPS)
        x = torch.randn(shape) * scheduler.init_noise_sigma
        for i, t in enumerate(scheduler.timesteps):
            sigma = scheduler.sigmas[i]
            scheduler.scale_model_input(x, t)
            total = sigma**2 + STD**2
            f = (denoised(x, sigma) - STD**2 / total * x) * torch.sqrt(total) / (sigma * STD)
            x = scheduler.step(f, t, x).prev_sample
        return x

    return draw


@dataclass(frozen=True)
class Peers:
    """Time of a batch of samples, divided by that of a peer: below 1 is faster."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """For each shape and algorithm: both draw the right law, and the ratio of times."""
        try:
            import torch
            from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
        except ImportError as error:
            raise GenkitError(f"peers need torch and diffusers ({error}); python -m pip install them") from None
        denoiser, key = gaussian_denoiser(MEAN, STD), jax.random.key(0)
        pairs = (
            ("Heun", Heun(STEPS, LOW, HIGH), "EDM's loop", edm_loop),
            ("Euler", Euler(STEPS, LOW, HIGH), "diffusers' EDMEulerScheduler", diffusers_loop(EDMEulerScheduler)),
            (
                "DPM-Solver++(2M)",
                DPMpp2M(STEPS, LOW, HIGH),
                "diffusers' EDMDPMSolverMultistepScheduler",
                diffusers_loop(EDMDPMSolverMultistepScheduler),
            ),
        )
        for shape in SHAPES[profile]:
            for name, sampler, peer, loop in pairs:
                label = f"{name}, {' x '.join(map(str, shape))}"
                with torch.no_grad():
                    ours, theirs = np.asarray(sample(key, sampler, denoiser, shape)), np.asarray(loop(shape))
                    off = 8 / ours.size**0.5
                    yield Row(f"{label}: std", ours.std(), expected=theirs.std(), tolerance=off, note=peer)
                    yield Timed(
                        label,
                        lambda sampler=sampler, shape=shape: sample(key, sampler, denoiser, shape),
                        {"samples/s": shape[0]},
                        (peer, torch.no_grad()(lambda loop=loop, shape=shape: loop(shape))),
                    )
