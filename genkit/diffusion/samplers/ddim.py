"""DDIM with noise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.errors import UsageError


@dataclass(frozen=True)
class DDIM(LinearSampler):
    """DDIM (Song et al. 2021, arXiv 2010.02502, eq. 12 and 16): first order, N network calls.

    The noise of a step has sigma_k = eta sqrt((1 - abar') / (1 - abar)) sqrt(1 - abar / abar'), divided by alpha':
    c = eta s1 sqrt(s^2 - s1^2) / s. eta = 0 is `Euler`, eta = 1 is `Ancestral` with its small variance.
    """

    eta: float = 0.0
    """Share of fresh noise, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside [0, 1]; 0 is deterministic, 1 ancestral")

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """D + sqrt(s1^2 - c^2) (x - D)/s + c eps."""
        c = self.eta * at.s1 * np.sqrt(at.s**2 - at.s1**2) / at.s
        return d[0] + np.sqrt(at.s1**2 - c**2) / at.s * (x - d[0]) + c * at.eps
