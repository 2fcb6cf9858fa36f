"""Euler's method, which is DDIM and DPM-Solver++(1)."""

from collections.abc import Callable
from dataclasses import dataclass

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum


@dataclass(frozen=True)
class Euler(LinearSampler):
    """Euler's method on the probability-flow ODE dx/ds = (x - D)/s: first order, N network calls.

    In the noise level s = sigma / alpha it is algebraically DDIM with eta = 0 (Song et al. 2021, arXiv 2010.02502) and
    DPM-Solver++(1) (Lu et al. 2022, arXiv 2211.01095).
    """

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """D + (s1/s) (x - D)."""
        return d[0] + at.s1 / at.s * (x - d[0])
