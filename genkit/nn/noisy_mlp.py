"""A noise-conditioned perceptron for vectors: the network of toy problems."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from flax import nnx

from genkit.nn.embedding import ScalarEmbedding
from genkit.nn.mlp import linear


@dataclass(frozen=True)
class NoisyMLP:
    """A residual perceptron whose layers see the noise level."""

    width: int = 128
    """Hidden features."""
    depth: int = 3
    """Residual blocks."""

    def build(self, rngs: nnx.Rngs, size: int) -> NoisyMLPModule:
        """A module (x (n, size), c_noise (n,), cond None) -> (n, size)."""
        return NoisyMLPModule(self, size, rngs)


class NoisyMLPModule(nnx.Module):
    """See `NoisyMLP`."""

    def __init__(self, config: NoisyMLP, size: int, rngs: nnx.Rngs):
        width = config.width
        self.noise = ScalarEmbedding(width, features=64, scale=1.0, rngs=rngs)
        self.first = linear(size, width, rngs=rngs)
        self.shifts = nnx.List([linear(width, width, rngs=rngs) for _ in range(config.depth)])
        self.blocks = nnx.List([linear(width, width, rngs=rngs) for _ in range(config.depth)])
        self.last = linear(width, size, gain=1e-5, rngs=rngs)

    def __call__(self, x, c_noise, cond=None):
        """Return the raw output F, (n, size)."""
        emb = self.noise(c_noise)
        h = self.first(x)
        for shift, block in zip(self.shifts, self.blocks, strict=True):
            h = h + block(jax.nn.silu(h + shift(emb)))
        return self.last(jax.nn.silu(h))
