"""A transformer on sequences."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import dropout, linear
from genkit_molecules.networks.heads import Inputs, Outputs, SequenceNetwork


@dataclass(frozen=True)
class SequenceTransformer(SequenceNetwork):
    """Pre-norm transformer without causal mask (Vaswani et al. 2017), with sinusoidal places.

    The paper preset is the network of ARDM on text (arXiv 2110.02037): 12 layers of width 768.
    """

    layers: int = 12
    """Layers."""
    width: int = 768
    """Features of a site."""
    heads: int = 12
    """Heads."""
    hidden: int = 3072
    """Width inside the perceptrons."""
    dropout: float = 0.0
    """Rate in training."""
    time: bool = True
    """Tell the network the time, or the fraction that is hidden."""

    @classmethod
    def preset(cls, name: str) -> SequenceTransformer:
        """Presets tiny and default (3 layers of width 128, for two cores), and paper."""
        if name == "tiny":
            return cls(1, 16, 2, 32)
        return cls() if name == "paper" else cls(3, 128, 4, 256)

    def __post_init__(self) -> None:
        """Check the widths."""
        if self.heads < 1 or self.width % self.heads:
            raise UsageError(f"width={self.width} is no multiple of heads={self.heads}, at least 1")

    @property
    def module(self) -> type[SequenceTransformerModule]:
        """See the base."""
        return SequenceTransformerModule


class SequenceTransformerModule(nnx.Module):
    """See `SequenceTransformer`; `key` switches dropout on."""

    def __init__(self, c: SequenceTransformer, rngs: nnx.Rngs, classes: int, head: str, outputs: int, conditions: int):
        self.options = c
        self.first = Inputs(classes, c.width, True, c.time, conditions, rngs)
        self.layers = nnx.List([Block(c, rngs) for _ in range(c.layers)])
        self.last = Outputs(c.width, classes, head, outputs, rngs)

    def __call__(self, x, t, mask=None, cond=None, key=None):
        """Logits, or numbers of the sequence."""
        mask = jnp.ones(x.shape, bool) if mask is None else mask
        h = self.first(x, t, cond).astype(self.options.numbers)
        for k, block in enumerate(self.layers):
            h = self.options.through(block, h, mask, None if key is None else jax.random.fold_in(key, k))
        return self.last(h, mask)


class Block(nnx.Module):
    """Attention and perceptron, each after a layer norm and with a residual."""

    def __init__(self, c: SequenceTransformer, rngs: nnx.Rngs):
        self.heads, self.rate, options = c.heads, c.dropout, {"dtype": c.numbers, "rngs": rngs}
        self.norms = nnx.List([nnx.LayerNorm(c.width, **options) for _ in range(2)])
        self.qkv, self.out = linear(c.width, 3 * c.width, **options), linear(c.width, c.width, **options)
        self.up, self.down = linear(c.width, c.hidden, **options), linear(c.hidden, c.width, **options)

    def __call__(self, h, mask, key):
        """(B, L, width) -> the same; sites that are not real are not looked at."""
        k1, k2 = (None, None) if key is None else jax.random.split(key)
        b, n, width = h.shape
        q, k, v = jnp.moveaxis(self.qkv(self.norms[0](h)).reshape(b, n, 3, self.heads, width // self.heads), 2, 0)
        mixed = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None, None, :])
        h = h + dropout(self.out(mixed.reshape(b, n, width)), self.rate, k1)
        return h + dropout(self.down(jax.nn.gelu(self.up(self.norms[1](h)))), self.rate, k2)
