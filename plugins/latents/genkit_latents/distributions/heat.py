"""Heat kernels: densities of Brownian motion (generator half the Laplacian) after a time t."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.distributions.radial import Radial, log_sphere

Array = jax.Array


def sphere_heat_kernel(cos: Array, t: Array, d: int = 2, terms: int = 40) -> Array:
    """p_t on the unit sphere S^d, d >= 2, from the cosine of the angle.

    sum_l (2l + d - 1) / (d - 1) C_l^((d-1)/2)(cos) exp(-l (l + d - 1) t / 2) / area. The terms kept decide how small t
    may be: their last factor is exp(-terms^2 t / 2), so 40 serve down to t = 0.04 in float64.
    """
    a = (d - 1) / 2
    cos = jnp.asarray(cos)

    def add(carry: Any, l: Array) -> Any:
        total, before, now = carry  # C_(l-1), C_l
        total = total + (2 * l + d - 1) / (d - 1) * now * jnp.exp(-l * (l + d - 1) * t / 2)
        after = (2 * (l + a) * cos * now - (l + 2 * a - 1) * before) / (l + 1)
        return (total, now, after), None

    zero = jnp.zeros(jnp.broadcast_shapes(cos.shape, jnp.shape(t)), cos.dtype)
    steps = jnp.arange(terms + 1, dtype=cos.dtype)
    (total, *_), _ = jax.lax.scan(add, (zero, zero, zero + 1), steps)
    return total / math.exp(log_sphere(d + 1))


@register_dataclass
@dataclass(frozen=True)
class SphericalHeatKernel(Radial):
    """Brownian motion on a sphere after time t; below t = 0.05 radius^2 its short-time form is used.

    The short-time form (2 pi t)^(-d/2) (r / sin r)^((d-1)/2) exp(-r^2 / 2t) is normalised by quadrature, so it stays a
    density.
    """

    manifold: Any
    mean: Array
    t: Array | float = 0.5

    def log_kernel(self, r: Array) -> Array:
        """log p_t, up to a constant for short times."""
        d, bend = self.manifold.dim, self._bend()
        r, t = r * bend, jnp.asarray(self.t, self.mean.dtype) * bend**2  # those of the unit sphere
        short = -0.5 * jnp.square(r) / t - (d - 1) / 2 * safe.log_sinc(jnp.minimum(jnp.square(r), 9.8))
        series = sphere_heat_kernel(jnp.cos(r), jnp.maximum(t, 0.05), d)
        log_p = jnp.where(t < 0.05, short, jnp.log(jnp.maximum(series, jnp.finfo(r.dtype).tiny)))
        return log_p + d * jnp.log(bend)

    def reach(self) -> Array:
        """Ten deviations."""
        return (10 + (self.manifold.dim - 1) ** 0.5) * safe.root(jnp.asarray(self.t, self.mean.dtype))


@register_dataclass
@dataclass(frozen=True)
class HyperbolicHeatKernel(Radial):
    """Brownian motion in hyperbolic space of dimension 2 (McKean's integral) or 3 (closed form)."""

    manifold: Any
    mean: Array
    t: Array | float = 0.5

    def __post_init__(self) -> None:
        """Check the dimension."""
        if getattr(self.manifold, "dim", 2) not in (2, 3):
            raise UsageError(f"the hyperbolic heat kernel is for dimensions 2 and 3, not {self.manifold.dim}")

    def log_kernel(self, r: Array) -> Array:
        """log p_t."""
        bend = self._bend()
        return self._log_unit(r * bend, self.t * bend**2) + self.manifold.dim * jnp.log(bend)

    def _log_unit(self, r: Array, t: Array) -> Array:
        """That of curvature -1."""
        if self.manifold.dim == 3:
            return -1.5 * jnp.log(2 * jnp.pi * t) - safe.log_sinhc(r) - t / 2 - jnp.square(r) / (2 * t)
        # int_r^oo s exp(-s^2 / 2t) / sqrt(cosh s - cosh r) ds with s = r + u^2, which has no singularity
        nodes, weights = np.polynomial.legendre.leggauss(64)
        most = jnp.sqrt(10 * jnp.sqrt(t) + 0 * r)
        u = most[..., None] * jnp.asarray((nodes + 1) / 2, self.mean.dtype)
        s = r[..., None] + jnp.square(u)
        half = (s + r[..., None]) / 2
        log_sinh = half + jnp.log(-jnp.expm1(-2 * half)) - math.log(2)
        below = 0.5 * (log_sinh + jnp.log(safe.sinc(-jnp.square(jnp.square(u)) / 4)))
        terms = jnp.log(s) - jnp.square(s) / (2 * t) - below + jnp.log(2.0)
        inside = jax.nn.logsumexp(terms + jnp.log(jnp.asarray(weights / 2, s.dtype)) + jnp.log(most)[..., None], -1)
        return 0.5 * math.log(2) - 1.5 * jnp.log(2 * jnp.pi * t) - t / 8 + inside

    def reach(self) -> Array:
        """The drift (d - 1) sqrt(-k) t / 2, twice, and ten deviations."""
        t = jnp.asarray(self.t, self.mean.dtype)
        return (self.manifold.dim - 1) * self._bend() * t + (10 + (self.manifold.dim - 1) ** 0.5) * safe.root(t)
