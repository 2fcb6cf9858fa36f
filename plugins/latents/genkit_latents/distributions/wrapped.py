"""Gaussians of a tangent space, wrapped onto the manifold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass

Array = jax.Array
LOG_2PI = 1.8378770664093453


@register_dataclass
@dataclass(frozen=True)
class WrappedNormal:
    """exp_mean(v), v normal with deviations `std` along the manifold's frame at `mean` (Nagano et al. 2019).

    In the ball the frame is the one transported from the origin, as in Mathieu et al. 2019. The density is exact where
    exp is injective: flat, hyperbolic and SPD spaces. On spheres and tori what wraps around more than half is left out.
    """

    manifold: Any
    mean: Array
    """(*shape)"""
    std: Array
    """(dim,) or ()"""

    @partial(jax.jit, static_argnames="n")
    def sample(self, key: Array, n: int) -> Array:
        """n points (n, *shape), differentiable in mean and std."""
        a = self.std * jax.random.normal(key, (n, self.manifold.dim), self.mean.dtype)
        return self.manifold.exp(self.mean, jnp.tensordot(a, self.manifold.frame(self.mean), 1))

    @jax.jit
    def log_prob(self, x: Array) -> Array:
        """Log density at a point x (*shape), with respect to the volume."""
        manifold = self.manifold
        v = manifold.log(self.mean, x)
        std = jnp.broadcast_to(self.std, (manifold.dim,))
        a = manifold.components(self.mean, v) / std
        flat = -0.5 * (jnp.square(a) + LOG_2PI).sum() - jnp.log(std).sum()
        return flat - manifold.log_jacobian(self.mean, v)
