"""Priors and posteriors of autoencoders on a manifold."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit_latents.distributions import Independent, RiemannianNormal, Uniform, VonMisesFisher, WrappedNormal
from genkit_latents.geometry.manifolds import Euclidean, Product, Sphere

Array = jax.Array


def prior_log_prob(manifold: Any, std: Any, z: Array) -> Array:
    """Of a point z, with respect to the volume: uniform on the embedded sphere, else (Riemannian) normal about the
    origin, also on spheres in stereographic coordinates, whose curvature may pass through zero."""
    if isinstance(manifold, Product):
        return sum(
            (prior_log_prob(f, std, p) for f, p in zip(manifold.factors, manifold.split(z), strict=True)),
            start=jnp.zeros(()),
        )
    if isinstance(manifold, Sphere):
        return Uniform(manifold).log_prob(z)
    if isinstance(manifold, Euclidean):
        return WrappedNormal(manifold, jnp.zeros_like(z), jnp.asarray(std, z.dtype)).log_prob(z)
    return RiemannianNormal(manifold, manifold.origin.astype(z.dtype), std).log_prob(z)


def prior_sample(manifold: Any, std: Any, key: Array, n: int) -> Array:
    """n points (n, *shape) of that prior."""
    if isinstance(manifold, Product):
        keys = jax.random.split(key, len(manifold.factors))
        return manifold.join([prior_sample(f, std, k, n) for f, k in zip(manifold.factors, keys, strict=True)])
    if isinstance(manifold, Sphere):
        return manifold.random_uniform(key, n)
    if isinstance(manifold, Euclidean):
        return std * jax.random.normal(key, (n, manifold.dim))
    return RiemannianNormal(manifold, manifold.origin, std).sample(key, n)


def posterior_of(manifold: Any, kind: str, mean: Array, std: Array) -> Any:
    """The posterior around a point: `wrapped`, or `radial` with the mean of the deviations.

    That of a hyperbolic Riemannian normal is kept below 1.25 / sqrt(-curvature). Its radius grows with the square of
    the deviation: a wider one lies beyond the border that floats keep from that of the ball, and there the bound on the
    likelihood would have no limit. Wrapped deviations on a sphere stop at half its circumference, up to which
    the sum over turns is whole. In a product each factor has its own.
    """
    if isinstance(manifold, Product):
        stds = jnp.split(std, np.cumsum([f.dim for f in manifold.factors])[:-1])
        parts = zip(manifold.factors, manifold.split(mean), stds, strict=True)
        return Independent(manifold, tuple(posterior_of(f, kind, m, s) for f, m, s in parts))
    if kind == "wrapped":
        k = jnp.asarray(manifold.kappa, std.dtype)
        most = jnp.where(k > 0, jnp.pi / jnp.sqrt(jnp.where(k > 0, k, 1)), jnp.inf)
        return WrappedNormal(manifold, mean, jnp.minimum(std, most))
    if isinstance(manifold, Sphere):
        return VonMisesFisher(manifold, mean, jnp.square(manifold.radius / std.mean()))
    if isinstance(manifold, Euclidean):
        return WrappedNormal(manifold, mean, jnp.broadcast_to(std.mean(), std.shape))
    bend = jnp.maximum(-jnp.asarray(manifold.kappa, std.dtype), 1e-6)
    return RiemannianNormal(manifold, mean, jnp.minimum(std.mean(), 1.25 / jnp.sqrt(bend)))
