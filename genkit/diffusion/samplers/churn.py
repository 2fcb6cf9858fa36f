"""Churn: fresh noise before a step, after Karras et al. 2022."""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from genkit.diffusion.samplers.linear import LinearSampler
from genkit.errors import UsageError


@dataclass(frozen=True)
class ChurnedSampler(LinearSampler):
    """Base of samplers with churn (Karras et al. 2022, arXiv 2206.00364, Algorithm 2).

    Fresh noise raises level t to t (1 + gamma), gamma = min(churn / steps, sqrt 2 - 1) where churn_min <= t <=
    churn_max; the step starts there.
    """

    churn: float = 0.0
    """Amount of fresh noise over the whole run (S_churn); 0 is deterministic."""
    churn_min: float = 0.0
    """Lowest level with churn."""
    churn_max: float = inf
    """Highest level with churn."""
    churn_noise: float = 1.0
    """Factor on the fresh noise (S_noise); a little above 1 widens the samples."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.churn < 0:
            raise UsageError(f"churn={self.churn} is negative; use 0 for a deterministic sampler or a positive amount")
        if self.churn_noise < 0:
            raise UsageError(f"churn_noise={self.churn_noise} is negative; 1 keeps the noise level")

    def churned(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s (1 + gamma), and sqrt of the difference of squares times `churn_noise`."""
        active = (self.churn_min <= s) & (s <= self.churn_max)
        raised = s * (1 + np.where(active, min(self.churn / len(s), sqrt(2) - 1), 0.0))
        return raised, np.sqrt(raised**2 - s**2) * self.churn_noise
