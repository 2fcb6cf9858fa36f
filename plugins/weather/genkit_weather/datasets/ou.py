"""An Ornstein-Uhlenbeck process in each cell: all conditional laws are known, at every lead."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genkit.errors import UsageError
from genkit_weather.data import Series, WeatherData, check

EPOCH = np.datetime64("2000-01-01T00", "s")


@dataclass(frozen=True)
class OU:
    """dx = -kappa x dt + sqrt(2 kappa) dW in each cell, independent, of mean 0 and variance 1, on a periodic grid.

    x(t + tau) given x(t) is normal with mean exp(-kappa tau) x(t) and variance 1 - exp(-2 kappa tau). Train, val and
    test count outputs every 6 h.
    """

    kappa: float = 0.5
    """rate of forgetting per day"""
    cells: int = 16
    """rows and columns of the grid"""
    train: int = 600
    """outputs for training"""
    val: int = 60
    """outputs for validation"""
    test: int = 200
    """outputs for testing"""
    seed: int = 0
    """seed of the noise"""

    suggests: ClassVar[dict[str, Any]] = {"formulation.guess": "persistence", "formulation.fill": False}

    @classmethod
    def preset(cls, name: str) -> "OU":
        """The default size, or "tiny": 8 x 8 cells, a fifth of the outputs."""
        return cls(cells=8, train=120, val=20, test=40) if name == "tiny" else cls()

    def load(self) -> WeatherData:
        """Draw the three splits exactly."""
        if self.kappa <= 0 or self.cells < 1 or min(self.train, self.val, self.test) < 3:
            raise UsageError(
                f"ou: kappa={self.kappa} must be positive, cells={self.cells} at least 1, each split at least 3"
            )
        rng = np.random.default_rng(self.seed)
        decay = np.exp(-self.kappa / 4)

        def run(length: int) -> tuple[Series, ...]:
            x = rng.standard_normal((length, self.cells, self.cells, 1)).astype(np.float32)
            for t in range(1, length):
                x[t] = decay * x[t - 1] + np.sqrt(1 - decay**2) * x[t]
            time = EPOCH + np.arange(length) * np.timedelta64(6, "h")
            return (Series(x, np.zeros((length, 1, 1, 0), np.float32), time),)

        train, val, test = (run(length) for length in (self.train, self.val, self.test))

        def oracle(starts, members, leads, seed=0):  # noqa: ANN001, ANN202 - as WeatherData.oracle
            draws = []
            for start in starts:
                fresh = np.random.default_rng((self.seed, seed, start))
                x = np.repeat(test[0].state[start][None], members, 0)
                path = [x]
                for _ in range(max(leads)):
                    x = decay * x + np.sqrt(1 - decay**2) * fresh.standard_normal(x.shape)
                    path.append(x)
                draws.append(np.stack(path)[list(leads)])
            return np.stack(draws).astype(np.float32)

        return check(
            WeatherData(
                *(train, val, test),
                static=np.zeros((self.cells, self.cells, 0), np.float32),
                frame=(0, 0),
                names=("value",),
                units=("1",),
                long_names=("value in the cell",),
                forcing_names=(),
                static_names=(),
                step_hours=6.0,
                x=np.arange(float(self.cells)),
                y=np.arange(float(self.cells)),
                oracle=oracle,
                source="ou",
            )
        )
