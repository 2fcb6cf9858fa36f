"""Networks on images of classes, which answer with logits of x_0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.discrete import Process
from genkit.nn import Net, ScalarEmbedding, UNet
from genkit.tree import register_dataclass


@dataclass(frozen=True)
class LogitUNet(UNet):
    """The DDPM++ U-Net on one-hot images, with an embedding of the time."""

    embedding: int = 128
    """width of the time's embedding"""

    @classmethod
    def preset(cls, name: str) -> LogitUNet:
        """`tiny`, `default`, `paper` (wider and deeper)."""
        if name == "tiny":
            return cls(base=8, multipliers=(1,), blocks=1, bottleneck_attention=False, dropout=0.0, embedding=32)
        return cls(base=128, blocks=3) if name == "paper" else cls()

    def build(self, rngs: nnx.Rngs, size: tuple[int, int], states: int, classes: int) -> LogitUNetModule:  # type: ignore[override]
        """A module (x (n, *size) int of `states`, t (n,) in [0, 1]) -> logits (n, *size, classes)."""
        return LogitUNetModule(self, size, states, classes, rngs)


class LogitUNetModule(nnx.Module):
    """See `LogitUNet`."""

    def __init__(self, config: LogitUNet, size: tuple[int, int], states: int, classes: int, rngs: nnx.Rngs):
        self.states = states
        self.time = ScalarEmbedding(config.embedding, scale=1.0, rngs=rngs)
        self.unet = UNet.build(config, rngs, states, classes, size, config.embedding)

    def __call__(self, x, t, key=None):
        """Logits; a key switches dropout on."""
        return self.unet(jax.nn.one_hot(x, self.states), self.time(t), key).astype(jnp.float32)


@register_dataclass
@dataclass(frozen=True)
class Classifier:
    """A network as a denoiser of `genkit.discrete`; the condition, if any, is the key of its dropout."""

    network: Net = field(metadata={"static": True})
    """(params, x, t (n,) in [0, 1], key) -> logits"""
    params: Any
    process: Process
    last: float = field(metadata={"static": True})
    """Time of the noisy end."""

    def __call__(self, x: jax.Array, t: jax.Array, cond: Any = None) -> jax.Array:
        """Logits of x_0 (n, ..., K)."""
        return self.network(self.params, x, jnp.broadcast_to(t / self.last, x.shape[:1]), cond)
