"""Lorenz-96 on a ring of 40 sites, of which 32 are seen and the outer four on each side are boundary data."""

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_weather.data import Series, WeatherData, check
from genkit_weather.lorenz import Lorenz96, rk4

AREA, FRAME = slice(4, 36), 4
DT, SUBSTEPS = 0.01, 5  # outputs every .05 time units = 6 h (Lorenz 1996: error doubling of the atmosphere)
SYSTEM = Lorenz96()
SPINUP = 200  # outputs
EPOCH = np.datetime64("2000-01-01T00", "s")


@dataclass(frozen=True)
class L96:
    """Lorenz-96, dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + 8, on a grid of 1 x 32 sites, every 6 h.

    The frame is (0, 4): four sites to the left and right. Train, val and test count independent trajectories of
    `length` outputs; `noise` adds sqrt(dt) noise eps after every Runge-Kutta step (try 0.5).
    """

    noise: float = 0.0
    """strength of the noise in the dynamics"""
    train: int = 48
    """trajectories for training"""
    val: int = 8
    """trajectories for validation"""
    test: int = 16
    """trajectories for testing"""
    length: int = 400
    """outputs of a trajectory"""
    seed: int = 0
    """seed of initial states and noise"""

    @classmethod
    def preset(cls, name: str) -> "L96":
        """The default size, or "tiny": 12, 4 and 4 trajectories of 200 outputs."""
        return cls(train=12, val=4, test=4, length=200) if name == "tiny" else cls()

    def load(self) -> WeatherData:
        """Generate all trajectories side by side (a second or two)."""
        counts = (self.train, self.val, self.test)
        if min(counts) < 1 or self.length < 3 or self.noise < 0:
            raise UsageError("l96: train, val, test must be at least 1, length at least 3, noise not negative")
        rng = np.random.default_rng(self.seed)
        x = SYSTEM.begin(rng, sum(counts))
        x = trajectory(x, SPINUP, self.noise, rng)[-1]
        states = np.concatenate([x[None], trajectory(x, self.length - 1, self.noise, rng)]).swapaxes(0, 1)
        time = EPOCH + np.arange(self.length) * np.timedelta64(6, "h")
        nothing = np.zeros((self.length, 1, 1, 0), np.float32)
        series = [Series(_area(s), nothing, time) for s in states]
        first_test = states[self.train + self.val]

        def oracle(starts, members, leads, seed=0):  # noqa: ANN001, ANN202 - as WeatherData.oracle
            out = []
            for start in starts:  # a generator for each start: draws do not depend on what else is asked
                begin = np.repeat(first_test[[start]], members, 0)
                out.append(trajectory(begin, max(leads), self.noise, np.random.default_rng((self.seed, seed, start))))
            runs = np.concatenate([np.repeat(first_test[list(starts)][None, :, None], members, 2), np.stack(out, 1)])
            return _area(runs[list(leads)].swapaxes(0, 1))

        static = np.ones((1, 32, 1), np.float32)
        static[:, FRAME:-FRAME] = 0
        ends = np.cumsum(counts)
        return check(
            WeatherData(
                train=tuple(series[: ends[0]]),
                val=tuple(series[ends[0] : ends[1]]),
                test=tuple(series[ends[1] :]),
                static=static,
                frame=(0, FRAME),
                names=("value",),
                units=("1",),
                long_names=("value at the site",),
                forcing_names=(),
                static_names=("frame",),
                step_hours=6.0,
                x=np.arange(32.0),
                y=np.zeros(1),
                oracle=oracle,
                source="l96",
            )
        )


def trajectory(x: np.ndarray, outputs: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """(outputs, ..., sites): the states after 1, 2, ... output intervals from x (..., sites), by RK4."""
    out = np.empty((outputs, *x.shape))
    for j in range(outputs):
        for _ in range(SUBSTEPS):
            x = rk4(SYSTEM.tendency, x, DT)
            if noise:
                x = x + np.sqrt(DT) * noise * rng.standard_normal(x.shape)
        out[j] = x
    return out


def _area(x: np.ndarray) -> np.ndarray:
    """Sites (..., 40) to the seen area (..., 1, 32, 1)."""
    return x[..., None, AREA, None].astype(np.float32)
