"""Gaussians of a tangent space, wrapped onto the manifold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.tree import register_dataclass
from genkit_latents.geometry.manifolds import Product

Array = jax.Array
LOG_2PI = 1.8378770664093453


@register_dataclass
@dataclass(frozen=True)
class WrappedNormal:
    """exp_mean(v), v normal with deviations `std` along the manifold's frame at `mean` (Nagano et al. 2019).

    In the ball the frame is the one transported from the origin, as in Mathieu et al. 2019. The density is a sum over
    all vectors that exp takes to a point: one where exp is injective (flat, hyperbolic and SPD spaces), on spheres and
    tori those that go around up to `WRAPS` times, in a product each factor's.
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
        std = jnp.broadcast_to(self.std, (manifold.dim,))
        if isinstance(manifold, Product):
            stds = jnp.split(std, np.cumsum([f.dim for f in manifold.factors])[:-1])
            parts = zip(manifold.factors, manifold.split(self.mean), stds, strict=True)
            return Independent(manifold, tuple(WrappedNormal(*part) for part in parts)).log_prob(x)

        def one(v: Array) -> Array:
            a = manifold.components(self.mean, v) / std
            flat = -0.5 * (jnp.square(a) + LOG_2PI).sum() - jnp.log(std).sum()
            return flat - manifold.log_jacobian(self.mean, v)

        vectors, counted = manifold.preimages(self.mean, manifold.log(self.mean, x))
        if len(vectors) == 1:
            return one(vectors[0])
        return jax.nn.logsumexp(jnp.where(counted, jax.vmap(one)(vectors), -jnp.inf))


@register_dataclass
@dataclass(frozen=True)
class Independent:
    """A law of a product: one of each factor (with `sample` and `log_prob`), independent."""

    manifold: Product
    laws: tuple[Any, ...]

    def sample(self, key: Array, n: int) -> Array:
        """n points (n, *shape)."""
        keys = jax.random.split(key, len(self.laws))
        return self.manifold.join([law.sample(k, n) for law, k in zip(self.laws, keys, strict=True)])

    def log_prob(self, x: Array) -> Array:
        """Log density at a point x (*shape)."""
        parts = zip(self.laws, self.manifold.split(x), strict=True)
        return sum((law.log_prob(y) for law, y in parts), start=jnp.zeros(()))
