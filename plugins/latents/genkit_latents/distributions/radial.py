"""Densities that depend on the distance to one point of a space of constant curvature.

All need one integral over the radius, int f(r) sin_k(r)^(d-1) dr, taken by Gauss-Legendre quadrature in log space: it
has no alternating sums that cancel, no Bessel functions, and its derivatives in all parameters are right. Radii are
drawn by the inverse of the distribution function, so samples are differentiable in the parameters, without rejection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.tree import register_dataclass
from genkit_latents import safe

Array = jax.Array
NODES = 256  # of the quadrature: its error is below 1e-13 in the tests
GRID = 1024  # cells of the distribution function

_T, _W = np.polynomial.legendre.leggauss(NODES)
_T, _LOG_W = (_T + 1) / 2, np.log(_W / 2)


def log_sphere(d: int) -> float:
    """log of the area 2 pi^(d/2) / Gamma(d/2) of the unit sphere in R^d."""
    return math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)


class Radial:
    """A density f(dist(x, mean)) / Z; subclasses give log f and how far it reaches.

    `manifold` is one of constant curvature; `mean` has the shape of a point, without leading axes (use `jax.vmap`).
    """

    manifold: Any
    mean: Array

    def log_kernel(self, r: Array) -> Array:
        """log f at distances r."""
        raise NotImplementedError

    def reach(self) -> Array:
        """A radius beyond which there is no mass that counts, ()."""
        raise NotImplementedError

    def _bend(self) -> Array:
        """Root of |curvature|: radii times it are those of the unit sphere, or of curvature -1."""
        return jnp.sqrt(jnp.abs(jnp.asarray(self.manifold.kappa, self.mean.dtype)))

    def _limit(self) -> Array:
        """The reach, or the radius of the whole sphere."""
        k = jnp.asarray(self.manifold.kappa, self.mean.dtype)
        whole = jnp.where(k > 0, jnp.pi / jnp.sqrt(jnp.where(k > 0, k, 1)), jnp.inf)
        return jnp.minimum(self.reach(), whole)

    def _log_radius(self, r: Array) -> Array:
        """Unnormalised log density of the radius: log f + (d - 1) log sin_k(r)."""
        d, k = self.manifold.dim, self.manifold.kappa
        return self.log_kernel(r) + (d - 1) * (jnp.log(r) + safe.log_sinc(k * jnp.square(r)))

    @jax.jit
    def log_normaliser(self) -> Array:
        """log Z ()."""
        limit = self._limit()
        r = limit * jnp.asarray(_T, self.mean.dtype)
        inside = jax.nn.logsumexp(self._log_radius(r) + jnp.asarray(_LOG_W, r.dtype)) + jnp.log(limit)
        return inside + log_sphere(self.manifold.dim)

    @jax.jit
    def log_prob(self, x: Array) -> Array:
        """Log density (...) at points (..., *shape)."""
        return self.log_kernel(self.manifold.dist(self.mean, x)) - self.log_normaliser()

    def radius(self, u: Array) -> Array:
        """The radius below which a share u of the mass is."""
        grid = self._limit() * (jnp.arange(GRID + 1) / GRID).astype(self.mean.dtype)
        log_p = self._log_radius(jnp.maximum(grid, grid[1] * 1e-6))
        p = jnp.exp(log_p - jax.lax.stop_gradient(log_p.max()))
        share = jnp.concatenate([jnp.zeros(1, p.dtype), jnp.cumsum((p[1:] + p[:-1]) / 2)])
        return jnp.interp(u, share / share[-1], grid)

    @partial(jax.jit, static_argnames="n")
    def sample(self, key: Array, n: int) -> Array:
        """n points (n, *shape)."""
        one, two = jax.random.split(key)
        d, dtype = self.manifold.dim, self.mean.dtype
        r = self.radius(jax.random.uniform(one, (n,), dtype))
        a = jax.random.normal(two, (n, d), dtype)
        a = a / jnp.maximum(safe.norm(a, True), jnp.finfo(dtype).tiny)
        return self.manifold.exp(self.mean, jnp.tensordot(r[:, None] * a, self.manifold.frame(self.mean), 1))

    def expectation(self, f: Any) -> Array:
        """The mean of f(r), by quadrature."""
        r = self._limit() * jnp.asarray(_T, self.mean.dtype)
        weights = jax.nn.softmax(self._log_radius(r) + jnp.asarray(_LOG_W, r.dtype))
        return (weights * f(r)).sum()

    def entropy(self) -> Array:
        """-E log p, nats."""
        return self.log_normaliser() - self.expectation(self.log_kernel)


@register_dataclass
@dataclass(frozen=True)
class RiemannianNormal(Radial):
    """exp(-r^2 / (2 std^2)): the distribution of least information for a Frechet mean and variance (Pennec 2006).

    In hyperbolic space the prior of Mathieu et al. 2019 (arXiv 1901.06033).
    """

    manifold: Any
    mean: Array
    std: Array | float = 1.0

    def log_kernel(self, r: Array) -> Array:
        """-r^2 / 2 std^2."""
        return -0.5 * jnp.square(r / self.std)

    def reach(self) -> Array:
        """The mode of the radius is below (d-1) sqrt(-k) std^2 + sqrt(d-1) std; ten deviations more."""
        d, k = self.manifold.dim, jnp.asarray(self.manifold.kappa, self.mean.dtype)
        bend = safe.root(jnp.maximum(-k, 0))
        return (d - 1) * bend * jnp.square(self.std) + (10 + (d - 1) ** 0.5) * self.std


@register_dataclass
@dataclass(frozen=True)
class VonMisesFisher(Radial):
    """exp(concentration cos a) on the sphere of dimension m - 1 in R^m, a = r / radius the angle."""

    manifold: Any
    mean: Array
    concentration: Array | float = 1.0

    def log_kernel(self, r: Array) -> Array:
        """concentration (cos a - 1); the constant keeps it below the largest float."""
        return -2 * self.concentration * jnp.square(jnp.sin(r * self._bend() / 2))

    def reach(self) -> Array:
        """From 1 - cos a >= 2 a^2 / pi^2."""
        spread = (10 + (self.manifold.dim - 1) ** 0.5) * math.pi / 2 / self._bend()
        return spread / safe.root(jnp.asarray(self.concentration, self.mean.dtype) + 1e-6)

    def log_constant(self) -> Array:
        """log C_m in p = C_m exp(concentration cos a)."""
        return -self.log_normaliser() - self.concentration

    def mean_cosine(self) -> Array:
        """A_m = E cos a = I_(m/2) / I_(m/2-1)."""
        return self.expectation(lambda r: jnp.cos(r * self._bend()))

    def kl_uniform(self) -> Array:
        """Divergence from the uniform distribution to this one, nats."""
        return self.manifold.log_area - self.entropy()


@register_dataclass
@dataclass(frozen=True)
class PowerSpherical(Radial):
    """(1 + cos a)^concentration on a sphere, a the angle (De Cao and Aziz 2020, arXiv 2006.04437)."""

    manifold: Any
    mean: Array
    concentration: Array | float = 1.0

    def log_kernel(self, r: Array) -> Array:
        """concentration log((1 + cos a) / 2) = 2 concentration log cos(a / 2)."""
        cos = jnp.cos(r * self._bend() / 2)
        return 2 * self.concentration * jnp.log(jnp.maximum(cos, jnp.finfo(self.mean.dtype).tiny))

    def reach(self) -> Array:
        """From log cos(a / 2) <= -a^2 / 8."""
        spread = (10 + (self.manifold.dim - 1) ** 0.5) * 2 / self._bend()
        return spread / safe.root(jnp.asarray(self.concentration, self.mean.dtype) + 1e-6)


@register_dataclass
@dataclass(frozen=True)
class Uniform:
    """The uniform distribution of a compact manifold with `random_uniform` and `log_area`."""

    manifold: Any

    def log_prob(self, x: Array) -> Array:
        """-log of the volume."""
        return jnp.broadcast_to(-self.manifold.log_area, x.shape[: x.ndim - len(self.manifold.shape)])

    def sample(self, key: Array, n: int) -> Array:
        """n points (n, *shape)."""
        return self.manifold.random_uniform(key, n)
