"""ByteNet's dilated convolutions, as in EvoDiff (arXiv 2309.04175) and CARP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import dropout, linear
from genkit_molecules.networks.heads import Inputs, Outputs, SequenceNetwork


@dataclass(frozen=True)
class ByteNet(SequenceNetwork):
    """Residual blocks of dilated convolutions; the dilation doubles from block to block and starts again.

    The paper preset is EvoDiff-Seq of 38 M parameters: width 1024, 16 blocks, kernel 5, dilations to 128. Networks of
    order-agnostic models get no time there.
    """

    layers: int = 16
    """Blocks."""
    width: int = 1024
    """Features of a site."""
    inner: int = 512
    """Features inside a block."""
    kernel: int = 5
    """Sites under a kernel."""
    largest: int = 128
    """The largest dilation, a power of 2."""
    dropout: float = 0.0
    """Rate in training."""
    time: bool = False
    """Tell the network the time, or the fraction that is hidden."""

    @classmethod
    def preset(cls, name: str) -> ByteNet:
        """Presets tiny and default (8 blocks of width 128, for two cores), and paper."""
        if name == "tiny":
            return cls(2, 16, 8, 3, 2)
        return cls() if name == "paper" else cls(8, 128, 64)

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.kernel % 2 == 0:
            raise UsageError(f"kernel={self.kernel}; expected an odd number, so that it has a middle")
        if self.largest < 1 or self.largest & (self.largest - 1):
            raise UsageError(f"largest={self.largest}; expected a power of 2")

    @property
    def module(self) -> type[ByteNetModule]:
        """See the base."""
        return ByteNetModule


class ByteNetModule(nnx.Module):
    """See `ByteNet`; `key` switches dropout on."""

    def __init__(self, c: ByteNet, rngs: nnx.Rngs, classes: int, head: str, outputs: int, conditions: int):
        self.options, self.rate = c, c.dropout
        self.first = Inputs(classes, c.width, False, c.time, conditions, rngs)
        cycle = c.largest.bit_length()
        self.layers = nnx.List([Block(c, 2 ** (k % cycle), rngs) for k in range(c.layers)])
        self.last = Outputs(c.width, classes, head, outputs, rngs)

    def __call__(self, x, t, mask=None, cond=None, key=None):
        """Logits, or numbers of the sequence."""
        mask = jnp.ones(x.shape, bool) if mask is None else mask
        h = self.first(x, t, cond).astype(self.options.numbers)
        for k, block in enumerate(self.layers):
            out = self.options.through(block, h, mask)
            h = h + dropout(out, self.rate, None if key is None else jax.random.fold_in(key, k))
        return self.last(h, mask)


class Block(nnx.Module):
    """Norm, GELU, narrow; norm, GELU, dilated convolution; norm, GELU, widen."""

    def __init__(self, c: ByteNet, dilation: int, rngs: nnx.Rngs):
        options: Any = {"dtype": c.numbers, "rngs": rngs}
        self.norms = nnx.List([nnx.LayerNorm(width, **options) for width in (c.width, c.inner, c.inner)])
        self.narrow, self.widen = linear(c.width, c.inner, **options), linear(c.inner, c.width, **options)
        self.conv = nnx.Conv(c.inner, c.inner, (c.kernel,), kernel_dilation=dilation, **options)

    def __call__(self, h, mask):
        """(B, L, width) -> the same; sites that are not real count as zero."""
        h = self.narrow(jax.nn.gelu(self.norms[0](h)))
        h = self.conv(jnp.where(mask[..., None], jax.nn.gelu(self.norms[1](h)), 0))
        return self.widen(jax.nn.gelu(self.norms[2](h)))
