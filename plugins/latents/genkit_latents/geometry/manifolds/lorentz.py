"""Hyperbolic space as a sheet of a hyperboloid."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import Hypersurface, check_positive

Array = jax.Array


def minkowski(u: Array, v: Array, keepdims: bool = False) -> Array:
    """-u_0 v_0 + u_1 v_1 + ..."""
    return safe.dot(u, v, keepdims) - 2 * (u[..., :1] * v[..., :1] if keepdims else u[..., 0] * v[..., 0])


@register_dataclass
@dataclass(frozen=True)
class Lorentz(Hypersurface):
    """Points <x, x> = -1 / c, x_0 > 0, in R^(n + 1) with Minkowski's product; curvature -c.

    In float32 a distance of r from the origin costs a factor e^r in relative precision; far points belong in the ball.
    """

    hadamard = True

    c: Array | float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        check_positive("c", self.c)

    @property
    def kappa(self) -> Array | float:
        """Curvature."""
        return -self.c

    @property
    def origin(self) -> Array:
        """e_0 / sqrt(c)."""
        return jnp.zeros(self.n + 1).at[0].set(1 / jnp.sqrt(self.c))

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """Minkowski's product, positive on tangent vectors."""
        return minkowski(u, v)

    def exp(self, x: Array, v: Array) -> Array:
        """cosh(r) x + sinh(r) / r v, r = sqrt(c) |v|."""
        u = -self.c * jnp.maximum(minkowski(v, v, True), 0)
        return self.project(safe.cosc(u) * x + safe.sinc(u) * v)

    def log(self, x: Array, y: Array) -> Array:
        """r / sinh(r) (y + c <x, y> x)."""
        w = y + self.c * minkowski(x, y, True) * x
        s2 = self.c * jnp.maximum(minkowski(w, w, True), 0)
        return safe.arsinc(-s2) * w

    def dist(self, x: Array, y: Array) -> Array:
        """2 / sqrt(c) arsinh(sqrt(c) |x - y| / 2), |.| of Minkowski."""
        s = safe.root(minkowski(x - y, x - y))
        return s * safe.arsinc(-self.c * jnp.square(s) / 4)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """v + c <y, v> (x + y) / (1 - c <x, y>)."""
        return v + self.c * minkowski(y, v, True) * (x + y) / (1 - self.c * minkowski(x, y, True))

    def frame(self, x: Array) -> Array:
        """The unit vectors at the origin, carried to x."""
        units = jnp.eye(self.n + 1, dtype=x.dtype)[1:]
        return self.transport(self.origin.astype(x.dtype), x[None], units)

    def gradient(self, x: Array, g: Array) -> Array:
        """The tangent part of (-g_0, g_1, ...)."""
        return self.tangent(x, g.at[..., 0].multiply(-1))

    def tangent(self, x: Array, v: Array) -> Array:
        """v without its part along x."""
        return v + self.c * minkowski(x, v, True) * x

    def project(self, x: Array) -> Array:
        """The point with the same x_1..x_n."""
        first = jnp.sqrt(1 / self.c + jnp.square(x[..., 1:]).sum(-1, keepdims=True))
        return jnp.concatenate([first, x[..., 1:]], -1)

    def inside(self, x: Array) -> Array:
        """On the sheet, to rounding."""
        right = self.project(x)[..., 0]
        return jnp.abs(x[..., 0] - right) <= 100 * jnp.finfo(x.dtype).eps * right

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """(n - 1) log(sinh(r) / r)."""
        return (self.n - 1) * safe.log_sinc(-self.c * jnp.maximum(minkowski(v, v), 0))

    # the same points in the ball

    def from_ball(self, z: Array) -> Array:
        """(1 + c |z|^2, 2 sqrt(c) z) / (sqrt(c) (1 - c |z|^2)): an isometry from `PoincareBall(n, c)`."""
        root = jnp.sqrt(self.c)
        zz = self.c * jnp.square(z).sum(-1, keepdims=True)
        return jnp.concatenate([1 + zz, 2 * root * z], -1) / (root * (1 - zz))

    def to_ball(self, x: Array) -> Array:
        """x_1..x_n / (1 + sqrt(c) x_0)."""
        return x[..., 1:] / (1 + jnp.sqrt(self.c) * x[..., :1])
