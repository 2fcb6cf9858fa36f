"""Grids of times for sampling, numpy float64, from noise to data."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from genkit.diffusion.process import Process
from genkit.errors import UsageError

Grid = Literal["rho", "logsnr", "time", "quadratic", "log", "flow"]
"""What is evenly spaced: s^(1/rho) of the noise level s = sigma / alpha (EDM), log s, time t, sqrt t, log t; `flow` has
s / (1 + s) = 1, 1 - 1/N, ..., 1/N, from pure noise in equal steps of rectified flow to the data."""
PURE = 1e6  # level that stands for the infinite one of pure noise: what it has of the data is lost in float32
BEYOND = 1.001  # pure noise may be a little above the highest time of a process


@dataclass(frozen=True)
class TimeGrid:
    """Base of all that goes from noise to data. Levels are those of sigma / alpha, whatever the process."""

    steps: int = 20
    """Noise levels without the final zero; at least 2."""
    sigma_min: float | None = 0.03
    """Lowest level above zero; none is the lowest of the process."""
    sigma_max: float | None = 80.0
    """Highest level; none is the highest of the process."""
    rho: float = 7.0
    """Exponent of the grid rho; larger puts more levels near sigma_min."""
    grid: Grid = "rho"
    """What is evenly spaced: s^(1/rho), log s, time t, sqrt t or log t; flow: from pure noise by steps of 1/N, whatever
    sigma_min and sigma_max are."""
    shift: float = 1.0
    """Factor on the noise levels of the grid: the timestep shift t' = shift t / (1 + (shift - 1) t) of rectified flow
    (Esser et al. 2024, arXiv 2403.03206, eq. 23; 3 for images of 1024 x 1024)."""
    times: tuple[float, ...] = ()
    """Own times of the process, decreasing, in place of a grid; a first one of pure noise, as 1 of `Flow`, is legal."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_steps(self.steps)
        low = 1e-12 if self.sigma_min is None else self.sigma_min
        check_range(low, 1e12 if self.sigma_max is None else self.sigma_max, self.rho)
        if any(b >= a for a, b in zip(self.times, self.times[1:], strict=False)):
            raise UsageError(f"times={self.times} must decrease, from noise to data")
        if self.shift <= 0:
            raise UsageError(f"shift={self.shift} must be positive; 1 leaves the noise levels as they are")

    def time_grid(self, process: Process) -> np.ndarray:
        """Times of the process, (N,) float64, decreasing, without the final one at level zero."""
        if self.times:
            return own_times(process, self.times)
        t = time_grid(process, self.grid, self.steps, self.sigma_min, self.sigma_max, self.rho)
        if self.shift == 1:
            return t
        s = np.minimum(self.shift * process.ratio(t), PURE)
        check_levels(process, s[0], s[-1])
        return np.asarray(process.time(s), np.float64)


def own_times(process: Process, times: tuple[float, ...]) -> np.ndarray:
    """Times that a user gave, (N,) float64; `PURE` stands for pure noise, what a process does not have is refused."""
    t = np.asarray(times, np.float64)
    with np.errstate(all="ignore"):
        s = np.asarray(process.ratio(t), np.float64)
        pure = s > PURE
        s = np.where(pure, PURE, s)
        back = np.asarray(process.time(s), np.float64)
    known = (t <= BEYOND * process.t_max) & (pure | ((s >= 0) & np.isclose(back, t, rtol=1e-6, atol=1e-9)))
    if not known.all():
        raise UsageError(
            f"times={times} hold {t[~known][0]:g}, which is no time of {process}; its times are {process.t_min:g} to "
            f"{process.t_max:g}, from data to noise"
        )
    if s.min() <= 0:
        raise UsageError(f"times={times} reach level zero; leave it out, the step to it comes by itself")
    if (np.diff(s) >= 0).any():
        raise UsageError(f"times={times} of {process} do not lower the noise level at every step")
    return np.where(pure, back, t)


def rho_grid(steps: int, low: float, high: float, rho: float = 7.0) -> np.ndarray:
    """Levels t_0 = high > ... > t_{steps-1} = low, t_steps = 0, (steps + 1,) float64.

    t_i = (high^(1/rho) + i / (steps - 1) (low^(1/rho) - high^(1/rho)))^rho, Karras et al. 2022, eq. 5.
    `steps` counts the levels without the final zero. Raises UsageError if steps < 2 or not 0 < low < high.
    """
    check_steps(steps)
    check_range(low, high, rho)
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=np.float64) ** rho
    ramp[0], ramp[-1] = high, low
    return np.append(ramp, 0.0)


def time_grid(
    process: Process, kind: Grid, steps: int, low: float | None, high: float | None, rho: float = 7.0
) -> np.ndarray:
    """Times t_0 > ... > t_{steps-1} of a process, (steps,) float64.

    Args:
        process: the Gaussian path.
        kind: what is evenly spaced; see `Grid`.
        steps: number of times, at least 2.
        low: lowest noise level s = sigma / alpha; None is the process's own.
        high: highest noise level.
        rho: exponent of the grid `rho`.
    """
    check_steps(steps)
    if kind == "flow":
        s = np.append(PURE, np.arange(steps - 1, 0, -1.0) / np.arange(1, steps))
        t = np.asarray(process.time(s), np.float64)
        if t[0] > BEYOND * process.t_max:
            raise UsageError(f"the grid 'flow' begins at pure noise, of which {process} has no time; take another grid")
        return t
    low = float(process.ratio(np.float64(process.t_min))) if low is None else low
    high = float(process.ratio(np.float64(process.t_max))) if high is None else high
    check_range(low, high, rho)
    check_levels(process, low, high)
    if kind == "rho":
        return np.asarray(process.time(rho_grid(steps, low, high, rho)[:-1]), np.float64)
    if kind == "logsnr":
        return np.asarray(process.time(np.geomspace(high, low, steps)), np.float64)
    first, last = (float(process.time(np.float64(s))) for s in (high, low))
    if kind == "time":
        return np.linspace(first, last, steps)
    if kind == "quadratic":
        if last < 0:
            raise UsageError(f"the grid 'quadratic' ends at time {last:g} of {process}; choose a higher sigma_min")
        return np.linspace(first**0.5, last**0.5, steps) ** 2
    if kind == "log":
        if last <= 0:
            raise UsageError(f"the grid 'log' ends at time {last:g} of {process}; choose a higher sigma_min")
        return np.geomspace(first, last, steps)
    raise UsageError(f"unknown grid {kind!r}; known: {', '.join(get_args(Grid))}")


def check_levels(process: Process, *levels: float) -> None:
    """Refuse noise levels that a process does not have; a published .01 is the .0100005 where DDPM ends."""
    low, high = (float(process.ratio(np.float64(t))) for t in (process.t_min, process.t_max))
    for s in map(np.float64, levels):
        if not np.isclose(process.ratio(process.time(s)), s, rtol=1e-3 if s < low else 1e-6):
            raise UsageError(
                f"the noise level {s:g} is beyond those of {process}, {low:.4g} to {high:.4g}; choose sigma_min and "
                "sigma_max within, or none"
            )


def check_steps(steps: int) -> None:
    """Refuse a grid of one time."""
    if steps < 2:
        raise UsageError(f"steps={steps} is too few; a grid from sigma_max to sigma_min needs at least 2")


def check_range(low: float, high: float, rho: float = 1.0) -> None:
    """Refuse levels out of order."""
    if not 0 < low < high:
        raise UsageError(f"noise levels from {low} to {high}: expected 0 < lowest < highest (sigma_min < sigma_max)")
    if rho <= 0:
        raise UsageError(f"rho={rho} must be positive; 7 is the usual value")
