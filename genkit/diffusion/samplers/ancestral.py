"""Ancestral sampling of DDPM."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum


@dataclass(frozen=True)
class Ancestral(LinearSampler):
    """The reverse chain of DDPM (Ho et al. 2020, arXiv 2006.11239, Algorithm 2) on any grid: first order, N calls.

    The mean is that of q(x_s1 | x_s, x_0 = D). The variance is the posterior's (`small`, right for data without
    spread) or that of the forward step (`large`, right for data of unit variance); section 3.2 of the paper. The step
    to level zero has no noise.
    """

    variance: Literal["small", "large"] = "small"
    """beta-tilde or beta."""

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """D + (s1/s)^2 (x - D) + c eps; c^2 = s^2 - s1^2 times (s1/s)^2 or (alpha/alpha')^2."""
        alpha, alpha1 = at.process.alpha(at.t), at.process.alpha(at.t1)
        scale = at.s1 / at.s if self.variance == "small" else alpha / alpha1
        return d[0] + (at.s1 / at.s) ** 2 * (x - d[0]) + scale * np.sqrt(at.s**2 - at.s1**2) * at.eps
