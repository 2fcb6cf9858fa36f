"""Flat manifolds: Euclidean space and the torus."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import WRAPS, Manifold, Sized

Array = jax.Array


class Flat(Manifold):
    """The part that Euclidean space and the torus share: tangent spaces are one."""

    kappa = 0.0

    @property
    def origin(self) -> Array:
        """Zero."""
        return jnp.zeros(self.dim)

    def conformal(self, z: Array) -> Array:
        """One."""
        return jnp.ones(z.shape[:-1], z.dtype)

    def G(self, z: Array) -> Array:
        """The identity."""
        return jnp.broadcast_to(jnp.eye(self.dim, dtype=z.dtype), (*z.shape[:-1], self.dim, self.dim))

    def dist(self, x: Array, y: Array) -> Array:
        """Length of the difference."""
        return safe.norm(self.log(x, y))

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """u . v."""
        return safe.dot(u, v)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """The same vector."""
        return v

    def frame(self, x: Array) -> Array:
        """The unit vectors."""
        return jnp.eye(self.dim, dtype=x.dtype)

    def gradient(self, x: Array, g: Array) -> Array:
        """The same."""
        return g

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """Zero."""
        return jnp.zeros(v.shape[:-1], v.dtype)


@register_dataclass
@dataclass(frozen=True)
class Euclidean(Sized, Flat):
    """R^n."""

    hadamard = True

    def exp(self, x: Array, v: Array) -> Array:
        """x + v."""
        return x + v

    def log(self, x: Array, y: Array) -> Array:
        """y - x."""
        return y - x

    def inside(self, x: Array) -> Array:
        """Everywhere finite."""
        return jnp.isfinite(x).all(-1)


@register_dataclass
@dataclass(frozen=True)
class FlatTorus(Flat):
    """The product of circles of the given circumferences; coordinate i is in [0, periods[i])."""

    periods: tuple[float, ...] = field(default=(6.283185307179586, 6.283185307179586), metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the periods."""
        if not self.periods or min(self.periods) <= 0:
            raise UsageError(f"periods={self.periods}: expected positive numbers, one a dimension")

    @property
    def dim(self) -> int:
        """Dimension."""
        return len(self.periods)

    def exp(self, x: Array, v: Array) -> Array:
        """x + v, wrapped."""
        return self.project(x + v)

    def log(self, x: Array, y: Array) -> Array:
        """The shortest difference; at half a period the one that goes up."""
        period = jnp.asarray(self.periods, x.dtype)
        return jnp.mod(y - x + period / 2, period) - period / 2

    def project(self, x: Array) -> Array:
        """x modulo the periods."""
        return jnp.mod(x, jnp.asarray(self.periods, x.dtype))

    def inside(self, x: Array) -> Array:
        """In the box of the periods."""
        return ((x >= 0) & (x <= jnp.asarray(self.periods, x.dtype))).all(-1)

    def unique(self, x: Array, y: Array) -> Array:
        """False where a coordinate differs by half a period."""
        period = jnp.asarray(self.periods, x.dtype)
        return (jnp.abs(self.log(x, y)) < period / 2 * (1 - 4 * jnp.finfo(x.dtype).eps)).all(-1)

    def preimages(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Shifted by periods, in all dimensions."""
        turns = np.stack(np.meshgrid(*[np.arange(-WRAPS, WRAPS + 1)] * self.dim), -1).reshape(-1, self.dim)
        return v + jnp.asarray(turns * np.asarray(self.periods), x.dtype), jnp.ones(len(turns), bool)

    def random_uniform(self, key: Array, n: int) -> Array:
        """n uniform points (n, dim)."""
        return jax.random.uniform(key, (n, self.dim)) * jnp.asarray(self.periods)

    @property
    def log_area(self) -> Array:
        """log of the volume."""
        return jnp.log(jnp.asarray(self.periods)).sum()
