"""Twisting: a chain that looks ahead by functions psi_t, with the same normalising constant and less variance."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Quadratic:
    """log psi(x) = sum(-precision x^2 / 2 + shift x) + const, the sum over all axes of x but the first."""

    precision: Any
    shift: Any
    const: Any

    def __call__(self, x: Array) -> Array:
        """log psi, (n,) for x (n, ...)."""
        terms = -0.5 * self.precision * x**2 + self.shift * x
        return terms.reshape(x.shape[0], -1).sum(1) + self.const


def twist_normal(mean: Array, std: Any, psi: Quadratic) -> tuple[Array, Array, Array]:
    """N(mean, std^2) psi, normalised, for mean (n, ...): its mean, its std, and (n,) log of the integral."""
    gain = std**2 * psi.precision
    variance = std**2 / (1 + gain)
    slope = psi.shift - psi.precision * mean
    log = 0.5 * (variance * slope**2 - jnp.log1p(gain))
    return mean + variance * slope, jnp.sqrt(variance), psi(mean) + log.reshape(mean.shape[0], -1).sum(1)


@register_dataclass
@dataclass(frozen=True)
class Twisted(Kernel):
    """A kernel with normal moves, twisted: M^psi = M psi / M(psi), G^psi = G M(psi) / psi.

    Whiteley and Lee 2014; Guarniero, Johansen, Lee 2017. M_t(psi_t) is known before the move and serves as `look`, so
    particles are resampled by it. With the optimal psi_t(x) = G_t(x) E[G_{t+1} ... G_T | x_t = x] the estimate of Z is
    exact for any number of particles. Inputs are (those of the kernel, `Quadratic` psi_t).
    """

    kernel: Any
    """Particles are arrays (n, ...); beside `log_g` it has `normal(p, u) -> (mean (n, ...), std)`, its move."""

    def look(self, keys: Array, p: Array, u: Any) -> tuple[Array, Array]:
        """M(psi)(p)."""
        mean, std = self.kernel.normal(p, u[0])
        return p, twist_normal(mean, std, u[1])[2]

    def move(self, keys: Array, p: Array, u: Any) -> Array:
        """Draw from M^psi."""
        mean, std = self.kernel.normal(p, u[0])
        mean, std, _ = twist_normal(mean, std, u[1])
        return mean + std * jax.vmap(lambda k: jax.random.normal(k, p.shape[1:], p.dtype))(written_out(keys))

    def log_g(self, p: Array, p1: Array, u: Any) -> Array:
        """log G - log psi."""
        return self.kernel.log_g(p, p1, u[0]) - u[1](p1)
