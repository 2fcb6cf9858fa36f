"""Runge-Kutta steps in the time of rectified flow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from genkit.diffusion.grids import Grid
from genkit.diffusion.process import EDM, Flow, Process
from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.diffusion.samplers.table import Table
from genkit.errors import UsageError

Rule = Literal["euler", "midpoint", "heun", "rk4"]


@dataclass(frozen=True)
class FlowODE(LinearSampler):
    """Fixed steps on dx/dt = v = (x - D)/t of rectified flow, from pure noise at t = 1 (Lipman et al. 2023, arXiv
    2210.02747; Liu et al. 2023, arXiv 2209.03003).

    In t the velocity has a limit at pure noise, while steps in the noise level t / (1 - t) of a higher order do not
    begin there. `euler` is `Euler`. Network calls: N (euler), 2 N - 1, 4 N - 3 (rk4), since the last step, from the
    lowest time to the data, is the denoised value.
    """

    grid: Grid = "flow"
    """What is evenly spaced; see `TimeGrid`."""
    rule: Rule = "midpoint"
    """Order 1, 2, 2, 4 in t."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.rule not in get_args(Rule):
            raise UsageError(f"unknown rule {self.rule!r}; known: {', '.join(get_args(Rule))}")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        if not isinstance(process, Flow):
            raise UsageError(f"FlowODE steps in the time of Flow, not of {process}; take euler, heun or rk4")
        return super().table(process)

    @property
    def nfe(self) -> int:
        """Network calls for one sample, the one at the beginning included."""
        return 1 + self.table(Flow()).steps.time.size

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """Symbols are divided by alpha = 1 - t; k are velocities."""
        t, t1, x = at.t, at.t1, (1 - at.t) * x
        h, m = t1 - t, (t + t1) / 2

        def v(y: Sum, u: np.ndarray) -> Sum:
            return (y - denoise(y / (1 - u), u / (1 - u))) / u

        k1 = (x - d[0]) / t
        if self.rule == "euler":
            k = k1
        elif self.rule == "midpoint":
            k = v(x + h / 2 * k1, m)
        elif self.rule == "heun":
            k = (k1 + v(x + h * k1, t1)) / 2
        else:
            k2 = v(x + h / 2 * k1, m)
            k3 = v(x + h / 2 * k2, m)
            k = (k1 + 2 * k2 + 2 * k3 + v(x + h * k3, t1)) / 6
        return (x + h * k) / (1 - t1)
