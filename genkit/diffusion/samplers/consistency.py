"""Multistep consistency sampling."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum


@dataclass(frozen=True)
class Consistency(LinearSampler):
    """Alternate a consistency function with fresh noise (Song et al. 2023, arXiv 2303.01469, Algorithm 1).

    The denoiser must be a consistency function f(x, t), which ends the probability-flow ODE at level `epsilon`. N
    calls for N levels; one call is `times=(80.0,)`.
    """

    epsilon: float = 0.002
    """Level at which the function ends."""

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """f(x, s) + sqrt(s1^2 - epsilon^2) eps."""
        return d[0] + np.sqrt(np.maximum(at.s1**2 - self.epsilon**2, 0.0)) * at.eps
