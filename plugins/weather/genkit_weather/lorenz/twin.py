"""Twin experiments: a true trajectory, observations of it, and a filter that knows the equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit_weather.lorenz.systems import System, rk4

Filter = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(background (M, size), observations (m,)) -> analysis (M, size)"""


@dataclass(frozen=True)
class Twin:
    """Every `interval` of time some numbers of the state are observed with normal errors."""

    system: System
    observed: tuple[int, ...]
    """places of the observed numbers"""
    error: float = 1.0
    """standard deviation of the errors"""
    interval: float = 0.05
    dt: float = 0.05
    """step of the Runge-Kutta method, a whole fraction of the interval"""
    seed: int = 0

    def forecast(self, x: np.ndarray) -> np.ndarray:
        """States (..., size) after an interval."""
        for _ in range(round(self.interval / self.dt)):
            x = rk4(self.system.tendency, x, self.dt)
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        """What is observed (..., m) of states."""
        return x[..., list(self.observed)]

    def climate(self, count: int = 2000, spinup: int = 200) -> np.ndarray:
        """States (count, size) of one long trajectory."""
        x = self.system.begin(np.random.default_rng((self.seed, 1)), 1)
        states = []
        for i in range(spinup + count):
            x = self.forecast(x)
            if i >= spinup:
                states.append(x[0])
        return np.stack(states)

    def run(self, analyse: Filter, members: int, cycles: int = 500, burn: int = 100) -> tuple[float, float]:
        """RMSE of the mean and spread of the analyses after `burn` cycles, root of the mean over time and places.

        The members begin around the truth, as far from it as observations are.
        """
        rng, truth, error, variance = np.random.default_rng(self.seed), self.climate(1)[0], [], []
        ensemble = truth + self.error * rng.standard_normal((members, self.system.size))
        for cycle in range(burn + cycles):
            truth, ensemble = self.forecast(truth), self.forecast(ensemble)
            y = self.predict(truth) + self.error * rng.standard_normal(len(self.observed))
            ensemble = analyse(ensemble, y)
            if cycle >= burn:
                error.append(((ensemble.mean(0) - truth) ** 2).mean())
                variance.append(ensemble.var(0, ddof=min(1, members - 1)).mean())
        return float(np.sqrt(np.mean(error))), float(np.sqrt(np.mean(variance)))
