"""Laws of the order in which sites are revealed."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from genkit.errors import UsageError

Array = jax.Array


class Orders(Protocol):
    """A law of permutations of D sites, in a form that a loss can use; a frozen dataclass.

    Places with one label are exchangeable: given what was revealed before place k, the site that comes there is uniform
    on the hidden sites whose place has the label of k. The loss then counts all of these and not one of them.
    """

    def draw(self, key: Array, real: Array) -> Array:
        """A permutation (D,) of the flattened sites; those that are not `real` (D,) come last."""
        ...

    def labels(self, real: Array) -> Array:
        """(D,) int, of the places, for an item with these real sites (D,)."""
        ...


@dataclass(frozen=True)
class AnyOrder:
    """All permutations alike: Hoogeboom et al. 2022, ARDM (arXiv 2110.02037)."""

    def draw(self, key: Array, real: Array) -> Array:
        """A uniform permutation."""
        order = jax.random.permutation(key, real.shape[0])
        return order[jnp.argsort(~real[order], stable=True)].astype(jnp.int32)

    def labels(self, real: Array) -> Array:
        """One label."""
        return jnp.zeros(real.shape, jnp.int32)


ANY_ORDER = AnyOrder()


@dataclass(frozen=True)
class LearnedOrder(AnyOrder):
    """The order that the denoiser chooses, which then answers with `Ordered`: Wang et al. 2025 (arXiv 2503.05979)."""


LEARNED_ORDER = LearnedOrder()


class Ordered(NamedTuple):
    """What a denoiser says that chooses the order too, of x (n, *sites)."""

    logits: Array
    """(n, *sites, K) of the values"""
    policy: Array
    """(n, *sites) logits of which hidden site is revealed next, p(z_i | z_<i, x_S)"""
    posterior: Array
    """(n, *sites) logits of which site came next, q(z_i | z_<i, x), of x that hides nothing; for training"""


def ordered(raw: Any, x: Array) -> Ordered:
    """What a denoiser says of x (n, *sites); raises UsageError if that says nothing of the order."""
    if not isinstance(raw, Ordered):
        raise UsageError(f"the order is learned, but the denoiser returned {type(raw).__name__}; expected Ordered")
    for name, logits in (("policy", raw.policy), ("posterior", raw.posterior)):
        if jnp.shape(logits) != x.shape:
            raise UsageError(
                f"{name} has shape {jnp.shape(logits)} for x of shape {x.shape}; expected one logit a site"
            )
    return raw
