"""Twisting: a chain that looks ahead by functions psi_t, with the same normalising constant and less variance."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model
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


@register_dataclass
@dataclass(frozen=True)
class NormalChain:
    """x_0 ~ N(mean, std^2), x_t by the normal moves of a kernel, weighed at t = 0..T-1; each particle an array.

    What the methods that know the law of a move take: twisting, `controlled`, `SQMC`.
    """

    mean: Any
    """(...), the shape of one particle"""
    std: Any
    """(...) or ()"""
    kernel: Any
    """`normal(p, u) -> (mean (n, ...), std)`, its move, and `log_g(p, p1, u)`; p is None at t = 0."""
    inputs: Any
    """Leaves (T, ...)"""

    def model(self, psi: Quadratic | None = None) -> Model:
        """The chain, twisted by psi, leaves (T, ...), where it is given; particles (n, ...)."""
        first, later = (jax.tree.map(lambda a, s=s: a[s], (self.inputs, psi)) for s in (0, slice(1, None)))
        begin = NormalBegin(self.mean, self.std, self.kernel, *first)
        if psi is None:
            return Model(begin, ((self.kernel, later[0]),))
        return Model(begin, ((Twisted(self.kernel), later),))


@register_dataclass
@dataclass(frozen=True)
class NormalBegin:
    """x_0 and its weight, twisted by psi if there is one."""

    mean: Any
    std: Any
    kernel: Any
    u: Any
    psi: Quadratic | None = None

    def __call__(self, keys: Array) -> tuple[Array, Array]:
        """Particles (n, ...) and their weights."""
        mean = jnp.broadcast_to(jnp.asarray(self.mean, float), (keys.shape[0], *jnp.shape(self.mean)))
        z = jax.vmap(lambda k: jax.random.normal(k, mean.shape[1:], mean.dtype))(written_out(keys))
        if self.psi is None:
            x = mean + self.std * z
            return x, self.kernel.log_g(None, x, self.u)
        mean, std, log_m = twist_normal(mean, self.std, self.psi)
        x = mean + std * z
        return x, log_m + self.kernel.log_g(None, x, self.u) - self.psi(x)
