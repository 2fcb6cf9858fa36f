"""Distributions of the noise level in training, and the grid of levels in sampling."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError

Array = jax.Array


@dataclass(frozen=True)
class Noise:
    """A distribution of noise levels given by its quantile function.

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
        _check_range(self.low, self.high, self.rho)

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
        _check_range(self.low, self.high)

    def quantile(self, u: Array) -> Array:
        """low (high / low)^u."""
        return self.low * (self.high / self.low) ** u


def rho_grid(steps: int, low: float, high: float, rho: float = 7.0) -> np.ndarray:
    """Levels t_0 = high > ... > t_{steps-1} = low, t_steps = 0, (steps + 1,) float64.

    t_i = (high^(1/rho) + i / (steps - 1) (low^(1/rho) - high^(1/rho)))^rho, Karras et al. 2022, eq. 5.
    `steps` counts the levels without the final zero. Raises UsageError if steps < 2 or not 0 < low < high.
    """
    if steps < 2:
        raise UsageError(f"steps={steps} is too few; a grid from sigma_max to sigma_min needs at least 2")
    _check_range(low, high, rho)
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=np.float64) ** rho
    ramp[0], ramp[-1] = high, low
    return np.append(ramp, 0.0)


def _check_range(low: float, high: float, rho: float = 1.0) -> None:
    if not 0 < low < high:
        raise UsageError(f"noise levels from {low} to {high}: expected 0 < lowest < highest (sigma_min < sigma_max)")
    if rho <= 0:
        raise UsageError(f"rho={rho} must be positive; 7 is the usual value")
