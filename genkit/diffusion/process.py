"""Gaussian paths x_t = alpha(t) x_0 + sigma(t) eps with eps ~ N(0, I).

Divided by alpha every one of them is x_0 plus noise of level s = sigma / alpha: samplers, likelihood and
preconditioning are written once, in s, and serve all processes through `Process.ratio` and its inverse
`Process.time`. Functions of time take numpy (and then compute in its precision: grids are made in float64 outside
jit) or jax arrays.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion.random import normal
from genkit.errors import UsageError
from genkit.kinds import SIGNED

Array = jax.Array


def per_item(t: Array | float, x: Array) -> Array:
    """A time () or (n,) shaped to multiply x (n, ...); raises UsageError for another shape or an integer."""
    t = jnp.asarray(t)
    if not jnp.issubdtype(t.dtype, jnp.floating):
        raise UsageError(f"time has type {t.dtype}; times and noise levels are floats, pass a float array")
    if t.ndim == 0:
        return t
    if t.shape != x.shape[:1]:
        raise UsageError(f"time has shape {t.shape}; expected () or {x.shape[:1]}, one time per item of the batch")
    return t.reshape(t.shape + (1,) * (x.ndim - 1))


def namespace(t: Any) -> Any:
    """numpy for numpy arrays and Python numbers, jax.numpy for jax arrays and tracers."""
    return jnp if isinstance(t, jax.Array) else np


class Process:
    """A Gaussian path; subclasses are frozen dataclasses with `alpha`, `sigma`, `time` and the range of t.

    Sources: Song et al. 2021 (arXiv 2011.13456), Karras et al. 2022 (arXiv 2206.00364). Methods with x (n, ...)
    take t () or (n,).
    """

    @property
    def t_min(self) -> float:
        """Lowest time of training and sampling; sigma and its logarithm are finite there."""
        raise NotImplementedError

    @property
    def t_max(self) -> float:
        """Highest time; alpha is positive there."""
        raise NotImplementedError

    def alpha(self, t: Any) -> Any:
        """Signal scale, elementwise, differentiable."""
        raise NotImplementedError

    def sigma(self, t: Any) -> Any:
        """Noise scale, elementwise, differentiable."""
        raise NotImplementedError

    def time(self, s: Any) -> Any:
        """The time at which sigma / alpha is s: the inverse of `ratio`."""
        raise NotImplementedError

    def ratio(self, t: Any) -> Any:
        """Noise level s = sigma / alpha, the standard deviation of the noise of x_t / alpha."""
        return self.sigma(t) / self.alpha(t)

    def logsnr(self, t: Any) -> Any:
        """2 log(alpha / sigma)."""
        xp = namespace(t)
        return 2 * (xp.log(self.alpha(t)) - xp.log(self.sigma(t)))

    def marginal(self, x0: Array, t: Array | float) -> tuple[Array, Array]:
        """Mean alpha x0 (n, ...) and standard deviation sigma of x_t given x_0."""
        t = per_item(t, x0)
        return self.alpha(t) * x0, self.sigma(t)

    def perturb(self, key: Array, x0: Array, t: Array | float) -> tuple[Array, Array]:
        """Draw x_t given x_0; returns (x_t, eps)."""
        eps = normal(key, x0.shape).astype(x0.dtype)
        mean, std = self.marginal(x0, t)
        return mean + std * eps, eps

    def score(self, x: Array, t: Array | float, denoised: Array) -> Array:
        """Gradient of log p_t at x from E[x_0 | x_t] (Tweedie): (alpha D - x) / sigma^2."""
        t = per_item(t, x)
        return (self.alpha(t) * denoised - x) / self.sigma(t) ** 2

    def drift_diffusion(self, t: Array | float) -> tuple[Array, Array]:
        """f and g^2 of dx = f x dt + g dW: f = (log alpha)', g^2 = (sigma^2)' - 2 f sigma^2."""
        t = jnp.asarray(t, float)
        one = jnp.ones_like(t)
        _, f = jax.jvp(lambda s: jnp.log(self.alpha(s)), (t,), (one,))
        variance, slope = jax.jvp(lambda s: self.sigma(s) ** 2, (t,), (one,))
        return f, slope - 2 * f * variance


@dataclass(frozen=True)
class EDM(Process):
    """Variance exploding in its own noise level: alpha = 1, sigma = t (Karras et al. 2022)."""

    t_min: float = 0.002
    """Lowest time, a noise level."""
    t_max: float = 80.0
    """Highest time, a noise level."""

    def alpha(self, t: Any) -> Any:
        """1."""
        return namespace(t).ones_like(t)

    def sigma(self, t: Any) -> Any:
        """t."""
        return t

    def time(self, s: Any) -> Any:
        """s."""
        return s


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding: alpha = 1, sigma = low (high / low)^t (Song et al. 2021, their SMLD)."""

    low: float = 0.01
    """Noise level at t = 0."""
    high: float = 50.0
    """Noise level at t = 1."""
    t_min: float = 1e-5
    """Lowest time."""
    t_max: float = 1.0
    """Highest time."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 0 < self.low < self.high:
            raise UsageError(f"noise levels from {self.low} to {self.high}: expected 0 < low < high")

    def alpha(self, t: Any) -> Any:
        """1."""
        return namespace(t).ones_like(t)

    def sigma(self, t: Any) -> Any:
        """Geometric between the levels."""
        return self.low * (self.high / self.low) ** t

    def time(self, s: Any) -> Any:
        """log(s / low) / log(high / low)."""
        return namespace(s).log(s / self.low) / np.log(self.high / self.low)


@dataclass(frozen=True)
class VP(Process):
    """Variance preserving with linear beta: alpha = exp(-B/2), sigma^2 = 1 - exp(-B), B = b0 t + (b1 - b0) t^2 / 2.

    Song et al. 2021 (arXiv 2011.13456), eq. 32; 1 - exp(-B) by expm1, which keeps its digits near t = 0.
    """

    b0: float = 0.1
    """Rate beta at t = 0."""
    b1: float = 20.0
    """Rate beta at t = 1."""
    t_min: float = 1e-3
    """Lowest time; theirs is 1e-3 in sampling, 1e-5 in training."""
    t_max: float = 1.0
    """Highest time."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 0 < self.b0 < self.b1:
            raise UsageError(f"rates from b0={self.b0} to b1={self.b1}: expected 0 < b0 < b1")

    def integral(self, t: Any) -> Any:
        """B(t)."""
        return self.b0 * t + (self.b1 - self.b0) * t**2 / 2

    def alpha(self, t: Any) -> Any:
        """exp(-B/2)."""
        return namespace(t).exp(-self.integral(t) / 2)

    def sigma(self, t: Any) -> Any:
        """sqrt(1 - exp(-B))."""
        xp = namespace(t)
        return xp.sqrt(-xp.expm1(-self.integral(t)))

    def time(self, s: Any) -> Any:
        """Root of B(t) = log(1 + s^2), in the form that does not cancel for small s."""
        return self._solve(namespace(s).log1p(s**2))

    def _solve(self, b: Any) -> Any:
        return 2 * b / (self.b0 + namespace(b).sqrt(self.b0**2 + 2 * (self.b1 - self.b0) * b))


@dataclass(frozen=True)
class SubVP(VP):
    """Sub-variance preserving: alpha = exp(-B/2), sigma = 1 - exp(-B) (Song et al. 2021, eq. 29)."""

    def sigma(self, t: Any) -> Any:
        """1 - exp(-B): not the root."""
        return -namespace(t).expm1(-self.integral(t))

    def time(self, s: Any) -> Any:
        """Root of 2 sinh(B/2) = s."""
        return self._solve(2 * namespace(s).arcsinh(s / 2))


@dataclass(frozen=True)
class Cosine(Process):
    """Variance preserving with alpha = cos(pi t / 2) (Nichol and Dhariwal 2021, arXiv 2102.09672).

    With `shift` (theirs is .008) alpha = cos(a) / cos(b), a = pi (t + shift) / (2 + 2 shift), b = a at t = 0. The
    range of t keeps |log SNR| <= 20.
    """

    shift: Annotated[float, SIGNED] = 0.0
    """Makes the first steps noisier; .008 in the paper."""

    @property
    def t_min(self) -> float:
        """Where log SNR = 20."""
        return float(self.time(np.exp(-10.0)))

    @property
    def t_max(self) -> float:
        """Where log SNR = -20."""
        return float(self.time(np.exp(10.0)))

    def _angles(self, t: Any) -> tuple[Any, float]:
        half = np.pi / 2 / (1 + self.shift)
        return half * (t + self.shift), half * self.shift

    def alpha(self, t: Any) -> Any:
        """cos(a) / cos(b)."""
        a, b = self._angles(t)
        return namespace(t).cos(a) / np.cos(b)

    def sigma(self, t: Any) -> Any:
        """sqrt(1 - alpha^2) = sqrt(sin(a - b) sin(a + b)) / cos(b), without cancellation."""
        a, b = self._angles(t)
        xp = namespace(t)
        if not self.shift:
            return xp.sin(a)
        return xp.sqrt(xp.sin(a - b) * xp.sin(a + b)) / np.cos(b)

    def time(self, s: Any) -> Any:
        """From alpha = 1 / sqrt(1 + s^2)."""
        xp = namespace(s)
        if not self.shift:
            return xp.arctan(s) * 2 / np.pi
        _, b = self._angles(0.0)
        a = xp.arctan2(xp.sqrt(s**2 + np.sin(b) ** 2), np.cos(b))  # arccos would cancel for small s
        return a * 2 * (1 + self.shift) / np.pi - self.shift


@dataclass(frozen=True)
class Flow(Process):
    """Rectified flow: x_t = (1 - t) x_0 + t eps (Liu et al. 2023, arXiv 2209.03003; Lipman et al. 2023).

    Data are at t = 0, noise at t = 1, where the level is infinite; the highest time stays below.
    """

    t_min: float = 1e-4
    """Lowest time."""
    t_max: float = 1 - 1e-4
    """Highest time, below 1."""

    def alpha(self, t: Any) -> Any:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Any) -> Any:
        """t."""
        return t

    def time(self, s: Any) -> Any:
        """s / (1 + s)."""
        return s / (1 + s)


@dataclass(frozen=True)
class DDPM(Process):
    """The discrete chain of Ho et al. 2020 (arXiv 2006.11239) with linear betas; t is the step, 0 to steps - 1.

    alpha = sqrt(abar_k) with abar_k = prod_{j <= k} (1 - beta_j). Times between steps interpolate log(sigma / alpha)
    linearly, so that a network trained on whole steps serves every grid.
    """

    steps: int = 1000
    """Steps of the chain."""
    beta_first: float = 1e-4
    """Variance of the first step."""
    beta_last: float = 0.02
    """Variance of the last step."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.steps < 2 or not 0 < self.beta_first <= self.beta_last < 1:
            raise UsageError(
                f"steps={self.steps}, betas from {self.beta_first} to {self.beta_last}: expected at least 2 steps and "
                "0 < beta_first <= beta_last < 1"
            )

    @property
    def t_min(self) -> float:
        """The first step."""
        return 0.0

    @property
    def t_max(self) -> float:
        """The last step."""
        return float(self.steps - 1)

    def abar(self) -> np.ndarray:
        """prod (1 - beta) after each step, (steps,) float64."""
        return np.cumprod(1 - np.linspace(self.beta_first, self.beta_last, self.steps, dtype=np.float64))

    def log_levels(self) -> np.ndarray:
        """log(sigma / alpha) of each step, (steps,) float64."""
        return 0.5 * np.log(1 / self.abar() - 1)

    def ratio(self, t: Any) -> Any:
        """exp of the interpolated log level."""
        xp = namespace(t)
        return xp.exp(xp.interp(t, np.arange(self.steps, dtype=np.float64), self.log_levels()))

    def alpha(self, t: Any) -> Any:
        """1 / sqrt(1 + s^2)."""
        return 1 / namespace(t).sqrt(1 + self.ratio(t) ** 2)

    def sigma(self, t: Any) -> Any:
        """s / sqrt(1 + s^2)."""
        return self.ratio(t) * self.alpha(t)

    def time(self, s: Any) -> Any:
        """The step, whole or between two, of that level."""
        xp = namespace(s)
        return xp.interp(xp.log(s), self.log_levels(), np.arange(self.steps, dtype=np.float64))
