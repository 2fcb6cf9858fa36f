"""Runge-Kutta methods of third and fourth order on the probability-flow ODE."""

from collections.abc import Callable
from dataclasses import dataclass

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum


@dataclass(frozen=True)
class RK3(LinearSampler):
    """Kutta's third-order method on dx/ds = (x - D)/s; 3 N - 2 network calls."""

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """Slopes at s, in the middle and at s1 with weights 1/6, 4/6, 1/6."""
        h, m = at.s1 - at.s, (at.s + at.s1) / 2
        k1 = (x - d[0]) / at.s
        y = x + h / 2 * k1
        k2 = (y - denoise(y, m)) / m
        y = x + h * (2 * k2 - k1)
        k3 = (y - denoise(y, at.s1)) / at.s1
        return x + h / 6 * (k1 + 4 * k2 + k3)


@dataclass(frozen=True)
class RK4(LinearSampler):
    """The classical fourth-order Runge-Kutta method on dx/ds = (x - D)/s; 4 N - 3 network calls."""

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """Slopes at s, twice in the middle, at s1 with weights 1/6, 2/6, 2/6, 1/6."""
        h, m = at.s1 - at.s, (at.s + at.s1) / 2
        k1 = (x - d[0]) / at.s
        y = x + h / 2 * k1
        k2 = (y - denoise(y, m)) / m
        y = x + h / 2 * k2
        k3 = (y - denoise(y, m)) / m
        y = x + h * k3
        k4 = (y - denoise(y, at.s1)) / at.s1
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
