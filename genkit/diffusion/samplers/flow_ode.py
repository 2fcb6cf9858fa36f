"""Runge-Kutta steps in the time of rectified flow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.errors import UsageError

Rule = Literal["euler", "midpoint", "heun", "rk4"]


@dataclass(frozen=True)
class FlowODE(LinearSampler):
    """Fixed steps on dx/dt = v = (x - D)/t in the time t = s / (1 + s) of rectified flow (Lipman et al. 2023, arXiv
    2210.02747; Liu et al. 2023, arXiv 2209.03003), for any process.

    In t the velocity has a limit at pure noise, t = 1, where the published grid begins (`grid="flow"`); steps in the
    noise level s of a higher order do not begin there. `euler` is `Euler`. Network calls: N (euler), 2 N - 1, 4 N - 3
    (rk4), since the last step, from the lowest time to the data, is the denoised value.
    """

    rule: Rule = "midpoint"
    """Order 1, 2, 2, 4 in t."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.rule not in get_args(Rule):
            raise UsageError(f"unknown rule {self.rule!r}; known: {', '.join(get_args(Rule))}")

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """(1 - t) times what is data plus noise of level s is the state of rectified flow; k are velocities."""
        t, t1 = at.s / (1 + at.s), at.s1 / (1 + at.s1)
        x = 1 / (1 + at.s) * x
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
        return (1 + at.s1) * (x + h * k)
