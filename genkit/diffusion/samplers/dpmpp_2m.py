"""Multistep DPM-Solver++ of second order, on the ODE and on the SDE."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum


@dataclass(frozen=True)
class DPMpp2M(LinearSampler):
    """Multistep second-order DPM-Solver++ (arXiv 2211.01095, Algorithm 2): N network calls, order 2 in log s.

    The first step is of first order.
    """

    past = 1

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """Euler's step with D extrapolated to the middle of the step in log s."""
        return extrapolated(d, at) * -np.expm1(-np.log(at.s / at.s1)) + at.s1 / at.s * x


@dataclass(frozen=True)
class SDEDPMpp2M(LinearSampler):
    """SDE-DPM-Solver++(2M) (arXiv 2211.01095, section 5): N network calls, noise in every step.

    `Ancestral` with the denoised value extrapolated as in `DPMpp2M`.
    """

    past = 1

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """(s1/s)^2 x + (1 - (s1/s)^2) D + s1 sqrt(1 - (s1/s)^2) eps, D extrapolated."""
        kept = (at.s1 / at.s) ** 2
        return kept * x + (1 - kept) * extrapolated(d, at) + at.s1 * np.sqrt(1 - kept) * at.eps


def extrapolated(d: list[Sum], at: Levels) -> Sum:
    """D_i + (D_i - D_{i-1}) h_i / (2 h_{i-1}), h in log s; D_i in the first step, where h_{i-1} is infinite."""
    h, h_before = np.log(at.s / at.s1), np.log(at.before[0] / at.s)
    return d[0] + (d[0] - d[1]) * (h / (2 * h_before))
