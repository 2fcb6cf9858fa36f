"""A perceptron between vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import linear
from genkit_latents.networks.coder import ACTIVATIONS


@dataclass(frozen=True)
class Perceptron:
    """Dense layers with an activation between them."""

    hidden: tuple[int, ...] = (256, 256, 256, 256)
    """Widths of the hidden layers."""
    activation: Literal["tanh", "silu", "softplus", "relu"] = "relu"
    """Between the layers."""

    def build(self, rngs: nnx.Rngs, inputs: int, outputs: int) -> PerceptronModule:
        """A module (..., inputs) -> (..., outputs)."""
        if not self.hidden or min(self.hidden) < 1:
            raise UsageError(f"hidden={self.hidden}; expected at least one width")
        return PerceptronModule(self, inputs, outputs, rngs)


class PerceptronModule(nnx.Module):
    """See `Perceptron`."""

    def __init__(self, config: Perceptron, inputs: int, outputs: int, rngs: nnx.Rngs):
        widths = (inputs, *config.hidden, outputs)
        self.activation = config.activation
        self.layers = nnx.List([linear(a, b, dtype=None, rngs=rngs) for a, b in zip(widths, widths[1:], strict=False)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the layers."""
        for layer in list(self.layers)[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)
