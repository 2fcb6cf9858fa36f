"""Distributions of noise levels and times in training."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp

from genkit.diffusion.grids import check_range
from genkit.diffusion.process import Process
from genkit.errors import UsageError
from genkit.kinds import SIGNED

Array = jax.Array


@dataclass(frozen=True)
class Noise:
    """A distribution of noise levels s = sigma / alpha, or of times, given by its quantile function.

    `stratified` spreads the n levels of a batch evenly over the quantiles, with one common random shift: each
    level still has the distribution, the mean over the batch varies less.
    """

    def quantile(self, u: Array) -> Array:
        """Noise level at probability u in (0, 1), elementwise."""
        raise NotImplementedError

    def draw(self, key: Array, n: int, stratified: bool = True) -> Array:
        """n noise levels, (n,) float."""
        if stratified:
            u = (jax.random.uniform(key) + jnp.arange(n) / n) % 1.0
        else:
            u = jax.random.uniform(key, (n,))
        return self.quantile(jnp.clip(u, 2.0**-24, 1 - 2.0**-24))

    def times(self, key: Array, n: int, process: Process, stratified: bool = True) -> Array:
        """n times of a process, (n,) float."""
        return process.time(self.draw(key, n, stratified))


@dataclass(frozen=True)
class LogNormal(Noise):
    """ln sigma ~ N(mean, std^2): the training noise of EDM (Karras et al. 2022, Table 1)."""

    mean: float = -1.2
    """Mean of ln sigma."""
    std: float = 1.2
    """Standard deviation of ln sigma."""

    def __post_init__(self):
        """Check the fields."""
        if self.std <= 0:
            raise UsageError(f"std={self.std} of the log-normal noise must be positive")

    def quantile(self, u: Array) -> Array:
        """exp(mean + std Phi^-1(u))."""
        return jnp.exp(self.mean + self.std * jax.scipy.special.ndtri(u))


@dataclass(frozen=True)
class Rho(Noise):
    """Uniform in sigma^(1/rho) between two levels: the training noise of GenCast (arXiv 2312.15796)."""

    low: float = 0.02
    """Lowest level."""
    high: float = 88.0
    """Highest level."""
    rho: float = 7.0
    """Larger draws more levels near the lowest."""

    def __post_init__(self):
        """Check the fields."""
        check_range(self.low, self.high, self.rho)

    def quantile(self, u: Array) -> Array:
        """(low^(1/rho) + u (high^(1/rho) - low^(1/rho)))^rho."""
        low, high = self.low ** (1 / self.rho), self.high ** (1 / self.rho)
        return (low + u * (high - low)) ** self.rho


@dataclass(frozen=True)
class LogUniform(Noise):
    """ln sigma uniform between two levels."""

    low: float = 0.002
    """Lowest level."""
    high: float = 80.0
    """Highest level."""

    def __post_init__(self):
        """Check the fields."""
        check_range(self.low, self.high)

    def quantile(self, u: Array) -> Array:
        """low (high / low)^u."""
        return self.low * (self.high / self.low) ** u


@dataclass(frozen=True)
class Times(Noise):
    """A distribution of the time itself, as a share of the range of the process: 0 its lowest time, 1 its highest."""

    def times(self, key: Array, n: int, process: Process, stratified: bool = True) -> Array:
        """n times, (n,) float, within the range of the process."""
        return process.t_min + self.draw(key, n, stratified) * (process.t_max - process.t_min)


@dataclass(frozen=True)
class Uniform(Times):
    """Time uniform between two values: the training of VP processes and of flows."""

    low: float = 0.0
    """Lowest time."""
    high: float = 1.0
    """Highest time."""

    def __post_init__(self):
        """Check the fields."""
        if not 0 <= self.low < self.high <= 1:
            raise UsageError(f"shares from {self.low} to {self.high}: expected 0 <= low < high <= 1")

    def quantile(self, u: Array) -> Array:
        """low + u (high - low)."""
        return self.low + u * (self.high - self.low)


@dataclass(frozen=True)
class LogitNormal(Times):
    """logit t ~ N(mean, std^2): the training times of rectified flows in Esser et al. 2024 (arXiv 2403.03206)."""

    mean: Annotated[float, SIGNED] = 0.0
    """Mean of logit t."""
    std: float = 1.0
    """Standard deviation of logit t."""

    def __post_init__(self):
        """Check the fields."""
        if self.std <= 0:
            raise UsageError(f"std={self.std} of the logit-normal times must be positive")

    def quantile(self, u: Array) -> Array:
        """sigmoid(mean + std Phi^-1(u))."""
        return jax.nn.sigmoid(self.mean + self.std * jax.scipy.special.ndtri(u))
