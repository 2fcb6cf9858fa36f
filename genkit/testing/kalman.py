"""A linear-Gaussian state-space model: exact answers for filters, smoothers and their evidence."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from genkit.chain import Kernel, Model
from genkit.smc import NormalChain, Quadratic
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class LinearGaussian:
    """x_0 ~ N(0, v0), x_t = rho x_{t-1} + sx N(0, 1), y_t = x_t + sy N(0, 1), t = 0..T-1; all in numpy float64."""

    rho: float = 0.9
    sx: float = 1.0
    sy: float = 0.2
    v0: float | None = None
    """Variance of x_0; None is that of the stationary chain."""

    @property
    def variance(self) -> float:
        """Variance of x_0."""
        return self.sx**2 / (1 - self.rho**2) if self.v0 is None else self.v0

    def kalman_filter(self, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """log p(y), and mean and variance (T,) of x_t given y_0..y_t."""
        log_z, means, variances = 0.0, [], []
        mean, variance = 0.0, self.variance
        for obs in np.asarray(y, np.float64):
            s = variance + self.sy**2
            log_z -= 0.5 * ((obs - mean) ** 2 / s + np.log(2 * np.pi * s))
            means.append(mean + variance / s * (obs - mean))
            variances.append(variance * self.sy**2 / s)
            mean, variance = self.rho * means[-1], self.rho**2 * variances[-1] + self.sx**2
        return float(log_z), np.array(means), np.array(variances)

    def kalman_loglik(self, y: np.ndarray) -> float:
        """log p(y)."""
        return self.kalman_filter(y)[0]

    def smoother(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (T,) of x_t given all of y: Rauch, Tung, Striebel 1965."""
        _, means, variances = self.kalman_filter(y)
        for t in reversed(range(len(means) - 1)):
            ahead = self.rho**2 * variances[t] + self.sx**2
            gain = variances[t] * self.rho / ahead
            means[t] += gain * (means[t + 1] - self.rho * means[t])
            variances[t] += gain**2 * (variances[t + 1] - ahead)
        return means, variances

    def information(self, y: np.ndarray) -> Quadratic:
        """psi_t(x) = p(y_t, ..., y_{T-1} | x_t = x), leaves (T,): the optimal twisting, by the backward filter."""
        precision, shift, const = np.zeros((3, len(y)))
        a = b = c = 0.0
        for t in reversed(range(len(y))):
            precision[t] = a + 1 / self.sy**2
            shift[t] = b + y[t] / self.sy**2
            const[t] = c - 0.5 * (np.log(2 * np.pi * self.sy**2) + y[t] ** 2 / self.sy**2)
            v = 1 / (1 / self.sx**2 + precision[t])
            a = self.rho**2 / self.sx**2 * (1 - v / self.sx**2)
            b = v * self.rho * shift[t] / self.sx**2
            c = const[t] + 0.5 * (np.log(v / self.sx**2) + v * shift[t] ** 2)
        return Quadratic(precision, shift, const)

    def chain(self, y: np.ndarray) -> NormalChain:
        """Moves of the model, potentials by the observations; particles x (n,)."""
        return NormalChain(0.0, self.variance**0.5, Bootstrap(self.rho, self.sx, self.sy), np.asarray(y))

    def bootstrap(self, y: np.ndarray) -> Model:
        """That chain as it is."""
        return self.chain(y).model()

    def guided(self, y: np.ndarray) -> Model:
        """Moves that know the next observation: the twisting by it alone."""
        const = -0.5 * (np.log(2 * np.pi * self.sy**2) + np.square(y) / self.sy**2)
        return self.chain(y).model(Quadratic(np.full(len(y), self.sy**-2.0), np.asarray(y) / self.sy**2, const))

    def twisted(self, y: np.ndarray, psi: Quadratic) -> Model:
        """Twisted by psi, leaves (T,)."""
        return self.chain(y).model(psi)


@register_dataclass
@dataclass(frozen=True)
class Bootstrap(Kernel):
    """One step of the model; the input is the observation."""

    rho: Any
    sx: Any
    sy: Any

    def normal(self, p: Array, u: Array) -> tuple[Array, Any]:
        """Mean and standard deviation of the move."""
        return self.rho * p, self.sx

    def move(self, keys: Array, p: Array, u: Array) -> Array:
        """x_t."""
        return self.rho * p + self.sx * jax.vmap(jax.random.normal)(written_out(keys))

    def log_prob(self, p: Array, p1: Array, u: Array) -> Array:
        """log N(x_t; rho x_{t-1}, sx^2)."""
        return jax.scipy.stats.norm.logpdf(p1, self.rho * p, self.sx)

    def log_g(self, p: Array | None, p1: Array, u: Array) -> Array:
        """log N(y_t; x_t, sy^2)."""
        return jax.scipy.stats.norm.logpdf(u, p1, self.sy)
