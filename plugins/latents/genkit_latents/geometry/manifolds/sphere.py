"""The sphere, embedded in R^(dim + 1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import WRAPS, Hypersurface, check_positive

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Sphere(Hypersurface):
    """Points |x| = radius in R^(n + 1); curvature 1 / radius^2.

    No direction from x to its antipode is shortest: `log` then takes the first vector of the frame at x, of the right
    length, and `unique` is False.
    """

    radius: Array | float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        check_positive("radius", self.radius)

    @property
    def kappa(self) -> Array | float:
        """Curvature."""
        return 1 / self.radius**2

    @property
    def origin(self) -> Array:
        """radius e_0."""
        return jnp.zeros(self.n + 1).at[0].set(self.radius)

    @property
    def log_area(self) -> Array:
        """log of the volume 2 pi^((n+1)/2) radius^n / Gamma((n+1)/2)."""
        half = (self.n + 1) / 2
        return math.log(2) + half * math.log(math.pi) - math.lgamma(half) + self.n * jnp.log(self.radius)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """u . v."""
        return safe.dot(u, v)

    def exp(self, x: Array, v: Array) -> Array:
        """cos(|v| / R) x + sin(|v| / R) R v / |v|, put back on the sphere."""
        u = (jnp.square(v).sum(-1, keepdims=True)) / self.radius**2
        return self.project(safe.cosc(u) * x + safe.sinc(u) * v)

    def log(self, x: Array, y: Array) -> Array:
        """See the class for antipodal points."""
        cos = safe.dot(x, y, True) / self.radius**2
        w = y - cos * x
        w = w - safe.dot(x, w, True) / self.radius**2 * x  # once more: what is left of x would count near the antipode
        u = safe.dot(w, w, True) / self.radius**2
        opposite = (cos < 0) & (u <= (4 * jnp.finfo(x.dtype).eps) ** 2)
        regular = safe.arc(jnp.where(opposite, 1, u), cos) * w
        return jnp.where(opposite, jnp.pi * self.radius * self._first(x), regular)

    def dist(self, x: Array, y: Array) -> Array:
        """2 R atan(|x - y| / |x + y|), exact at both ends."""
        return 2 * self.radius * jnp.arctan2(safe.norm(x - y), safe.norm(x + y))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """v - <y, v> (x + y) / (R^2 + <x, y>); between antipodes along the first vector of the frame at x."""
        below = self.radius**2 + safe.dot(x, y, True)
        meet = below <= 4 * jnp.finfo(x.dtype).eps * self.radius**2
        moved = v - safe.dot(y, v, True) * (x + y) / jnp.where(meet, 1, below)
        e = self._first(x)
        return jnp.where(meet, v - 2 * safe.dot(e, v, True) * e, moved)

    def frame(self, x: Array) -> Array:
        """The unit vectors e_1..e_n, reflected so that e_0 goes to x or -x."""
        sign, w = self._mirror(x / self.radius)
        outer = w[..., 1:, None] * w[..., None, :]
        return jnp.eye(self.n + 1, dtype=x.dtype)[1:] - outer / (sign * w[..., :1])[..., None]

    def _first(self, x: Array) -> Array:
        sign, w = self._mirror(x / self.radius)
        return jnp.eye(self.n + 1, dtype=x.dtype)[1] - w * w[..., 1:2] / (sign * w[..., :1])

    @staticmethod
    def _mirror(x: Array) -> tuple[Array, Array]:
        """The sign of x_0, and x + sign e_0, the normal of the mirror; half its square is 1 + |x_0|."""
        sign = jnp.where(x[..., :1] >= 0, 1, -1)
        return sign, x + sign * jnp.eye(x.shape[-1], dtype=x.dtype)[0]

    def gradient(self, x: Array, g: Array) -> Array:
        """The tangent part."""
        return self.tangent(x, g)

    def tangent(self, x: Array, v: Array) -> Array:
        """v without its part along x."""
        return v - safe.dot(x, v, True) * x / self.radius**2

    def project(self, x: Array) -> Array:
        """The nearest point; the origin for the centre."""
        length = safe.norm(x, True)
        zero = length == 0
        return jnp.where(zero, self.origin.astype(x.dtype), self.radius * x / jnp.where(zero, 1, length))

    def inside(self, x: Array) -> Array:
        """At distance `radius` from the centre, to rounding."""
        return jnp.abs(safe.norm(x) / self.radius - 1) < 100 * jnp.finfo(x.dtype).eps

    def unique(self, x: Array, y: Array) -> Array:
        """False at antipodal points."""
        return safe.norm(x + y) > 8 * jnp.finfo(x.dtype).eps * self.radius

    def preimages(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Once around, and more."""
        return self._around(x, v, 2 * jnp.pi * self.radius), jnp.ones(2 * WRAPS + 1, bool)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """(n - 1) log(sin(r) / r), r = |v| / R."""
        return (self.n - 1) * safe.log_sinc(jnp.square(v).sum(-1) / self.radius**2)

    def random_uniform(self, key: Array, n: int) -> Array:
        """n uniform points (n, n + 1)."""
        return self.project(jax.random.normal(key, (n, *self.shape)))
