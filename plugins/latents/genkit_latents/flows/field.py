"""Vector fields on manifolds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.nn import Net
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Field:
    """A network (x (n, size), c (n,)) -> (n, size) as a tangent field of points x (*shape) and a time-like c ().

    On embedded manifolds its output is projected to the tangent space; in coordinates it gives the components in the
    orthonormal frame, so that its size does not depend on the metric (Chen and Lipman 2024, appendix).
    """

    manifold: Any
    params: Any
    net: Net = field(metadata={"static": True})

    def __call__(self, x: Array, c: Array) -> Array:
        """The tangent vector (*shape) at x."""
        raw = self.net(self.params, x.reshape(1, -1), jnp.asarray(c, x.dtype)[None])[0]
        if self.manifold.size == self.manifold.dim:
            return self.manifold.vector(x, raw)
        return self.manifold.tangent(x, raw.reshape(x.shape))


def divergence(manifold: Any, v: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """v(x) (*shape) and the Riemannian divergence () of the tangent field v at x.

    The trace of the covariant derivative: what the field does along geodesics from x, carried back to x by parallel
    transport. One forward derivative a dimension, for every manifold with exp and transport.
    """

    def seen(a: Array) -> Array:
        y = manifold.exp(x, manifold.vector(x, a))
        return manifold.components(x, manifold.transport(y, x, v(y)))

    eye = jnp.eye(manifold.dim, dtype=x.dtype)
    at, push = jax.linearize(seen, jnp.zeros(manifold.dim, x.dtype))
    return manifold.vector(x, at), jnp.trace(jax.vmap(push)(eye))
