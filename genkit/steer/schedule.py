"""Noise levels of a chain that is steered."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genkit.diffusion import Process, TimeGrid
from genkit.errors import UsageError


class Levels(NamedTuple):
    """Where a chain passes, from noise to data, without the final level zero; float64."""

    s: np.ndarray
    """(T,) noise level sigma / alpha"""
    t: np.ndarray
    """(T,) time of the process"""
    alpha: np.ndarray
    """(T,)"""
    start: float
    """standard deviation of x / alpha at the first level: of N(0, I) where the process preserves the variance, else
    that of the noise"""


@dataclass(frozen=True)
class Schedule(TimeGrid):
    """Base of the methods here: the noise levels through which a chain goes, then level zero."""

    def levels(self, process: Process) -> Levels:
        """Levels, times and scales for a process."""
        t = self.time_grid(process)
        s, alpha = (np.asarray(f(t), np.float64) for f in (process.ratio, process.alpha))
        total = alpha[0] ** 2 * (1 + s[0] ** 2)
        start = (1 / alpha[0]) if np.isclose(total, 1) else s[0]
        return Levels(s, t, alpha, float(start))

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return len(self.levels(process).s)

    def ddim(self, s: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        """DDIM's steps between levels s (T,), divided by alpha: x' = D + keep (x - D) + noise eps, each (T - 1,).

        Song et al. 2021 (arXiv 2010.02502), eq. 12 and 16; eta = 1 is the ancestral step.
        """
        if not 0 <= eta <= 1:
            raise UsageError(f"eta={eta} is outside [0, 1]; 0 is deterministic, 1 ancestral")
        noise = eta * s[1:] * np.sqrt(s[:-1] ** 2 - s[1:] ** 2) / s[:-1]
        return np.sqrt(s[1:] ** 2 - noise**2) / s[:-1], noise
