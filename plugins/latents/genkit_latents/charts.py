"""Two-dimensional latent spaces on paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds import Lorentz, Sphere

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Chart:
    """A map of a surface: its coordinates, or for a sphere Lambert's equal-area map around a point."""

    manifold: Any
    centre: Array

    def to_plane(self, z: Array) -> Array:
        """(2,) of a point."""
        if isinstance(self.manifold, Lorentz):
            return self.manifold.to_ball(z)
        if not isinstance(self.manifold, Sphere):
            return z
        v = self.manifold.components(self.centre, self.manifold.log(self.centre, z))
        u = jnp.square(v).sum() / self.manifold.radius**2
        return v * safe.sinc(u / 4)

    def from_plane(self, w: Array) -> Array:
        """The point at w (2,), which must be on the map."""
        if isinstance(self.manifold, Lorentz):
            return self.manifold.from_ball(w)
        if not isinstance(self.manifold, Sphere):
            return w
        half = jnp.square(w).sum() / self.manifold.radius**2 / 4
        return self.manifold.exp(self.centre, self.manifold.vector(self.centre, w * safe.arsinc(half)))

    def radius(self) -> float | None:
        """Of the map, where it has a border."""
        if isinstance(self.manifold, Sphere):
            return 2 * float(self.manifold.radius)
        if isinstance(self.manifold, Lorentz):
            return 1.0
        kappa = float(getattr(self.manifold, "kappa", 0))
        return (-kappa) ** -0.5 if kappa < 0 else None
