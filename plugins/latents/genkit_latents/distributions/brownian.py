"""Brownian motion on any manifold, as a geodesic random walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass

Array = jax.Array
LOG_2PI = 1.8378770664093453


def walk(
    manifold: Any,
    key: Array,
    x: Array,
    t: Array | float,
    steps: int = 20,
    drift: Callable[[Array], Array] | None = None,
) -> Array:
    """Where Brownian motion with a drift is after time t from x (*shape).

    Steps x <- exp_x(h drift(x) + sqrt(h) noise), h = t / steps: exact in distribution as the steps grow (Jorgensen
    1975); the error of a mean is of order 1 / steps.
    """
    h = t / steps

    def move(x: Array, key: Array) -> tuple[Array, None]:
        v = jnp.sqrt(h) * manifold.normal(key, x)
        return manifold.exp(x, v if drift is None else v + h * drift(x)), None

    return jax.lax.scan(move, x, jax.random.split(key, steps))[0]


@register_dataclass
@dataclass(frozen=True)
class BrownianMotion:
    """Brownian motion from `mean` after time t as a prior (Kalatzis et al. 2020, arXiv 2002.05227).

    Samples are walks; the density is the short-time form (2 pi t)^(-d/2) exp(-dist^2 / 2t) / sqrt(J), J the widening
    of exp, right to a relative error of order t.
    """

    manifold: Any
    mean: Array
    t: Array | float = 1.0
    steps: int = field(default=20, metadata={"static": True})

    @partial(jax.jit, static_argnames="n")
    def sample(self, key: Array, n: int) -> Array:
        """n points (n, *shape)."""
        keys = jax.random.split(key, n)
        return jax.vmap(lambda k: walk(self.manifold, k, self.mean, self.t, self.steps))(keys)

    @jax.jit
    def log_prob(self, x: Array) -> Array:
        """Log density at a point x (*shape)."""
        v = self.manifold.log(self.mean, x)
        d, squared = self.manifold.dim, self.manifold.inner(self.mean, v, v)
        widening = self.manifold.log_jacobian(self.mean, v)
        return -0.5 * d * (LOG_2PI + jnp.log(self.t)) - squared / (2 * self.t) - 0.5 * widening
