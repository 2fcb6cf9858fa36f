"""What networks on sequences share: what goes in, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.nn import Arithmetic, linear, positional_frequencies, sinusoids

Array = jax.Array
TIME = 64  # features of the time


@dataclass(frozen=True)
class SequenceNetwork(Arithmetic):
    """Base of the configurations of networks on sequences; a subclass names its module."""

    @property
    def module(self) -> Any:
        """The class of the module, made of (self, rngs, classes, head, outputs, conditions)."""
        raise NotImplementedError(f"{type(self).__name__} names no module")

    def build(
        self,
        rngs: nnx.Rngs,
        classes: int,
        head: Literal["generator", "discriminator"] = "generator",
        outputs: int = 1,
        conditions: int = 0,
    ) -> Any:
        """A module of (x (B, L), t (B,), mask (B, L) bool or None, cond (B, c) or None, key or None).

        The generator answers with logits (B, L, classes), the discriminator with (B, outputs).
        """
        return self.module(self, rngs, classes, head, outputs, conditions)


class Inputs(nnx.Module):
    """Features (B, L, width) of amino acids (with one more class, hidden), places, time and condition."""

    def __init__(self, classes: int, width: int, places: bool, time: bool, conditions: int, rngs: nnx.Rngs):
        self.width, self.places, self.time = width, places, time
        self.letters = nnx.Embed(classes + 1, width, rngs=rngs)
        self.at = linear(TIME, width, rngs=rngs) if time else None
        self.given = linear(conditions, width, rngs=rngs) if conditions else None

    def __call__(self, x: Array, t: Array, cond: Array | None) -> Array:
        """Sum of the embeddings."""
        h = self.letters(x)
        if self.places:
            h = h + sinusoids(jnp.arange(x.shape[1]), positional_frequencies(self.width))
        if self.at is not None:
            h = h + self.at(sinusoids(100 * jnp.broadcast_to(t, x.shape[:1]), positional_frequencies(TIME)))[:, None]
        if self.given is not None and cond is not None:
            h = h + self.given(cond)[:, None]
        return h


class Outputs(nnx.Module):
    """Logits (B, L, classes) of a generator, or numbers (B, outputs) of a whole sequence."""

    def __init__(self, width: int, classes: int, head: str, outputs: int, rngs: nnx.Rngs):
        self.whole = head == "discriminator"
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.inner = linear(width, width, rngs=rngs) if self.whole else None
        self.last = linear(width, outputs if self.whole else classes, rngs=rngs)

    def __call__(self, h: Array, mask: Array) -> Array:
        """Answer, over the real sites."""
        h = self.norm(h)
        if self.inner is None:
            return self.last(h)
        mean = jnp.where(mask[..., None], h, 0).sum(1) / jnp.maximum(mask.sum(1, keepdims=True), 1)
        return self.last(jax.nn.relu(self.inner(mean)))
