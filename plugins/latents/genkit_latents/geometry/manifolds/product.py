"""Products of manifolds: squared distances add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import Manifold
from genkit_latents.geometry.metric import Metric

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Product(Manifold):
    """The product of manifolds; a point is the points of the factors, flattened and joined."""

    factors: tuple[Any, ...]

    def __post_init__(self) -> None:
        """Check that there are factors."""
        if not self.factors:
            raise UsageError("a product needs at least one factor")

    @property
    def hadamard(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where all factors are."""
        return all(f.hadamard for f in self.factors)

    @property
    def exact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where all factors are."""
        return all(f.exact for f in self.factors)

    @property
    def dim(self) -> int:
        """Sum of the dimensions."""
        return sum(f.dim for f in self.factors)

    @property
    def shape(self) -> tuple[int, ...]:
        """(sum of sizes,)."""
        return (sum(f.size for f in self.factors),)

    @property
    def origin(self) -> Array:
        """The origins."""
        return self.join([f.origin for f in self.factors])

    def split(self, x: Array) -> list[Array]:
        """The parts (..., *shape of the factor)."""
        parts = jnp.split(x, np.cumsum([f.size for f in self.factors])[:-1], -1)
        return [p.reshape(*p.shape[:-1], *f.shape) for f, p in zip(self.factors, parts, strict=True)]

    def join(self, parts: list[Array]) -> Array:
        """The inverse of `split`."""
        return jnp.concatenate(
            [p.reshape(*p.shape[: p.ndim - len(f.shape)], -1) for f, p in zip(self.factors, parts, strict=True)], -1
        )

    def _each(self, f: Callable[..., Array], *args: Array) -> list[Array]:
        split = [self.split(a) for a in args]
        return [f(one, *parts) for one, *parts in zip(self.factors, *split, strict=True)]

    def G(self, z: Array) -> Array:
        """Blocks along the diagonal; all factors must be in coordinates."""
        return jax.scipy.linalg.block_diag(*self._each(_matrix, z))

    def square(self, z: Array, v: Array) -> Array:
        """Sum over the factors."""
        return self.inner(z, v, v)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """Sum over the factors."""
        return sum(self._each(lambda f, x, u, v: f.inner(x, u, v), x, u, v), start=jnp.zeros(()))

    def exp(self, x: Array, v: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x, v: f.exp(x, v), x, v))

    def log(self, x: Array, y: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x, y: f.log(x, y), x, y))

    def dist(self, x: Array, y: Array) -> Array:
        """Root of the sum of squares."""
        return safe.norm(jnp.stack(self._each(lambda f, x, y: f.dist(x, y), x, y), -1))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x, y, v: f.transport(x, y, v), x, y, v))

    def frame(self, x: Array) -> Array:
        """The frames, one below the other."""
        return jax.scipy.linalg.block_diag(*self._each(lambda f, x: f.frame(x).reshape(f.dim, -1), x))

    def gradient(self, x: Array, g: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x, g: f.gradient(x, g), x, g))

    def tangent(self, x: Array, v: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x, v: f.tangent(x, v), x, v))

    def project(self, x: Array) -> Array:
        """Factor by factor."""
        return self.join(self._each(lambda f, x: f.project(x), x))

    def clamped(self, x: Array) -> Array:
        """In any factor."""
        return jnp.stack(self._each(lambda f, x: f.clamped(x), x), -1).any(-1)

    def inside(self, x: Array) -> Array:
        """In all factors."""
        return jnp.stack(self._each(lambda f, x: f.inside(x), x), -1).all(-1)

    def unique(self, x: Array, y: Array) -> Array:
        """In all factors."""
        return jnp.stack(self._each(lambda f, x, y: f.unique(x, y), x, y), -1).all(-1)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """Sum over the factors."""
        return sum(self._each(lambda f, x, v: f.log_jacobian(x, v), x, v), start=jnp.zeros(()))


def _matrix(factor: Metric, z: Array) -> Array:
    if not hasattr(factor, "G"):
        raise UsageError(f"{type(factor).__name__} is embedded and has no matrix G; use a manifold in coordinates")
    return factor.G(z)
