"""The suite `core.convergence`: the error of samplers by network calls, without Monte-Carlo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax

from genkit.bench.rows import Row
from genkit.diffusion import (
    RK4,
    Ancestral,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    Euler,
    Grid,
    Heun,
    SDEDPMpp2M,
)
from genkit.diffusion.samplers import LinearSampler
from genkit.testing import gaussian_denoiser, gaussian_moments

SAMPLERS = (Euler, Ancestral, SDEDPMpp2M, Heun, DPMpp2S, DPMpp2M, DPMpp3M, RK4)
GRIDS: tuple[Grid, ...] = ("rho", "logsnr", "quadratic", "time")
BUDGETS = (9, 17, 33, 65, 129, 257)
STD, LOW, HIGH = 0.5, 0.002, 80.0


@dataclass(frozen=True)
class Convergence:
    """Relative error of the standard deviation of samples of N(0, 1/4), exact, from noise of level 80 down to .002.

    For each sampler on the grid of EDM and for two samplers on every grid, by number of network calls.
    """

    def measure(self, profile: str) -> Iterator[Row]:
        """One row a sampler, grid and budget."""
        budgets = BUDGETS[:3] if profile == "smoke" else BUDGETS
        cases: list[tuple[type[LinearSampler], Grid]] = [(sampler, "rho") for sampler in SAMPLERS]
        cases.extend((sampler, grid) for sampler in (Euler, DPMpp2M) for grid in GRIDS[1:])
        with jax.enable_x64(True):
            denoiser = gaussian_denoiser(0.0, STD)
            for sampler, grid in cases:
                calls = sampler(2).nfe - 1  # a step
                for budget in budgets:
                    one = sampler((budget - 1) // calls + 1, LOW, HIGH, grid=grid)
                    _, variance = gaussian_moments(one, denoiser)
                    error = abs(float(variance) ** 0.5 / STD - 1)
                    yield Row(f"{sampler.__name__}, {grid}, {one.nfe} calls", error, "relative error of the std")
