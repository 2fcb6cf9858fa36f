"""Any metric in coordinates as a manifold: exp by the geodesic equation, log and distance by a solver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents.geometry import metric as m
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.geometry.manifolds import Manifold
from genkit_latents.geometry.paths import exp

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Numeric(Manifold):
    """A manifold whose geometry is solved for; statistics and densities take it like a closed form.

    Methods take one point, not batches (`jax.vmap`). `found(x, y)` gives the solver's `Geodesic` with its flag;
    `log`, `dist` and `transport` are NaN where it did not converge, which sums in `genkit_latents.stats` count and
    refuse.
    """

    exact = False

    metric: Any
    n: int = field(metadata={"static": True})
    solver: Any = field(default=Energy(), metadata={"static": True})
    steps: int = field(default=32, metadata={"static": True})
    """Runge-Kutta steps of exp"""

    @property
    def dim(self) -> int:
        """Dimension."""
        return self.n

    @property
    def origin(self) -> Array:
        """Zero."""
        return jnp.zeros(self.n)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return self.metric.G(z)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """u' G v."""
        return m.inner(self.metric, x, u, v)

    def exp(self, x: Array, v: Array) -> Array:
        """By the Runge-Kutta method."""
        return exp(self.metric, x, v, self.steps)

    def found(self, x: Array, y: Array) -> Any:
        """The geodesic from x to y."""
        return self.solver(self.metric, x, y)

    def dist(self, x: Array, y: Array) -> Array:
        """Length of the geodesic; NaN where the solver did not converge."""
        found = self.found(x, y)
        return jnp.where(found.converged, found.length, jnp.nan)

    def log(self, x: Array, y: Array) -> Array:
        """The first velocity, by a one-sided difference of second order, with the length of the geodesic."""
        found = self.found(x, y)
        c = found.curve
        v = -1.5 * c[0] + 2 * c[1] - 0.5 * c[2]
        size = m.norm(self.metric, x, v)
        apart = (size > 0) & (found.length > 0)
        v = v * jnp.where(apart, found.length / jnp.where(apart, size, 1), len(c) - 1)
        return jnp.where(found.converged, v, jnp.nan)

    def frame(self, x: Array) -> Array:
        """Rows of the inverse of a root of G: L^-1 with G = L L'."""
        root = jnp.linalg.cholesky(self.metric.G(x))
        return jax.scipy.linalg.solve_triangular(root, jnp.eye(self.n, dtype=x.dtype), lower=True)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Along the polygon of the solver, v' = -Gamma(c', v) by the midpoint rule; NaN as `log`."""
        found = self.found(x, y)
        curve = found.curve

        def move(v: Array, ends: tuple[Array, Array]) -> tuple[Array, None]:
            a, b = ends
            gamma = m.christoffel(self.metric, (a + b) / 2)
            turn = jnp.einsum("ijk,j->ik", gamma, b - a)
            half = v - 0.5 * turn @ v
            return v - turn @ half, None

        return jnp.where(found.converged, jax.lax.scan(move, v, (curve[:-1], curve[1:]))[0], jnp.nan)

    def gradient(self, x: Array, g: Array) -> Array:
        """G^-1 g."""
        return m.sharp(self.metric, x, g)

    def inside(self, x: Array) -> Array:
        """Everywhere finite."""
        return jnp.isfinite(x).all(-1)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """Jacobi fields by differentiation of the Runge-Kutta steps."""
        y, push = jax.linearize(lambda v: self.exp(x, v), v)
        fields = jax.vmap(push)(self.frame(x))
        return jnp.linalg.slogdet(fields)[1] + m.log_volume(self.metric, y)
