"""Variables with bounds: an increment that cannot lead out of them."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.data import Statistics

EDGE = 1e-6  # nearest that an inverse looks at a bound, in units of the sigmoid or of the softplus
LARGE = 20.0  # above it softplus is the identity


@register_dataclass
@dataclass(frozen=True)
class Limits:
    """Bounds of each variable in standardised units, -inf and inf where there are none.

    An update is g(g^-1(x) + delta) with g(u) = lo + (hi - lo) sigmoid(u), lo + softplus(u) or hi - softplus(-u), as in
    Neural-LAM.
    """

    low: Any
    """(V,)"""
    high: Any
    """(V,)"""

    @classmethod
    def build(
        cls, names: tuple[str, ...], stats: Statistics, lower: dict[str, float], upper: dict[str, float]
    ) -> "Limits | None":
        """From bounds in physical units by variable; None where there are none."""
        if not lower and not upper:
            return None
        if unknown := (set(lower) | set(upper)) - set(names):
            raise UsageError(f"bounds name {sorted(unknown)}, the variables are {', '.join(names)}")
        low, high = (
            ((np.array([d.get(n, e) for n in names]) - stats.mean) / stats.std).astype(np.float32)
            for d, e in ((lower, -np.inf), (upper, np.inf))
        )
        if not (low < high).all():
            raise UsageError(f"a lower bound is not below the upper one: {lower}, {upper}")
        return cls(jnp.asarray(low), jnp.asarray(high))

    def advance(self, x: jax.Array, delta: jax.Array) -> jax.Array:
        """x + delta (..., V), kept within the bounds; gradients are finite for every x, also on and beyond them."""
        below, above = jnp.isfinite(self.low), jnp.isfinite(self.high)
        low, high = jnp.where(below, self.low, 0.0), jnp.where(above, self.high, 1.0)
        width = jnp.where(below & above, high - low, 1.0)
        # Every branch is finite for every x, as a gradient passes through the branches that are not chosen too.
        share = jnp.clip((x - low) / width, EDGE, 1 - EDGE)
        both = low + width * jax.nn.sigmoid(jnp.log(share) - jnp.log1p(-share) + delta)
        lower = low + jax.nn.softplus(_inverse_softplus(x - low) + delta)
        upper = high - jax.nn.softplus(_inverse_softplus(high - x) - delta)
        bounded = jnp.where(below & above, both, jnp.where(below, lower, upper))
        return jnp.where(below | above, bounded, x + delta)


def _inverse_softplus(y: jax.Array) -> jax.Array:
    """log(exp(y) - 1), of at least softplus^-1's value at log(1 + EDGE); the identity for large y."""
    inside = jnp.clip(y, np.log1p(EDGE), LARGE)
    return jnp.where(y > LARGE, y, jnp.log(jnp.expm1(inside)))
