"""Encoders of vectors and of images without patches.

An encoder's module has `width` and is called as (x (n, ...), mask, keep, key) -> (features (n, width), those of the
patches (n, T, width) or None). It has patches where `grid(shape)` tells how many rows and columns of them;
`check(shape, view)` refuses views of samples that it cannot take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import MLP, Arithmetic, Conv, GroupNorm


@dataclass(frozen=True)
class MLPEncoder(Arithmetic):
    """A perceptron, of vectors or of flattened images."""

    widths: tuple[int, ...] = (96, 96)
    """Features of its layers."""

    def check(self, shape: tuple[int, ...], view: tuple[int, ...]) -> None:
        """Refuse views of another shape than that of the samples."""
        if view != shape:
            raise UsageError(f"a perceptron for samples of shape {shape} takes no views of shape {view}; take a cnn or "
                             "a vit, or views as large as the samples")  # fmt: skip

    def build(self, rngs: nnx.Rngs, shape: tuple[int, ...]) -> MLPEncoderModule:
        """The module for samples of a shape."""
        if not self.widths or min(self.widths) < 1:
            raise UsageError(f"widths={self.widths}; expected one or more positive numbers")
        size = 1
        for n in shape:
            size *= n
        return MLPEncoderModule(self, (size, *self.widths), rngs)


class MLPEncoderModule(nnx.Module):
    """See `MLPEncoder`."""

    def __init__(self, config: MLPEncoder, widths: tuple[int, ...], rngs: nnx.Rngs):
        self.config, self.width = config, widths[-1]
        self.layers = MLP(widths, dtype=config.numbers, rngs=rngs)

    def __call__(self, x: Any, mask: Any = None, keep: Any = None, key: Any = None) -> tuple[Any, None]:
        """Features."""
        return self.config.through(self.layers, x.reshape(len(x), -1)).astype(jnp.float32), None


@dataclass(frozen=True)
class CNN(Arithmetic):
    """A residual convolutional network with group norm (He et al. 2016); halves the image between its stages."""

    widths: tuple[int, ...] = (32, 64)
    """Channels of its stages."""
    blocks: int = 1
    """Residual blocks in a stage."""

    def build(self, rngs: nnx.Rngs, shape: tuple[int, ...]) -> CNNModule:
        """The module for images (h, w, c)."""
        if len(shape) != 3:
            raise UsageError(f"a CNN for samples of shape {shape}; expected (h, w, c)")
        return CNNModule(self, shape[-1], rngs)


class CNNModule(nnx.Module):
    """See `CNN`."""

    def __init__(self, config: CNN, channels: int, rngs: nnx.Rngs):
        self.config, self.width = config, config.widths[-1]
        self.first = Conv(channels, config.widths[0], dtype=config.numbers, rngs=rngs)
        stages, inputs = [], config.widths[0]
        for width in config.widths:
            sizes = [inputs] + [width] * config.blocks
            blocks = [Residual(a, b, config.numbers, rngs) for a, b in zip(sizes, sizes[1:], strict=False)]
            stages.append(nnx.List(blocks))
            inputs = width
        self.stages = nnx.List(stages)
        self.norm = GroupNorm(self.width)

    def __call__(self, x: Any, mask: Any = None, keep: Any = None, key: Any = None) -> tuple[Any, None]:
        """The mean over the last image."""
        x = self.first(x)
        for i, stage in enumerate(self.stages):
            if i:
                x = nnx.avg_pool(x, (2, 2), (2, 2), "SAME")
            for block in stage:
                x = self.config.through(block, x)
        return jax.nn.relu(self.norm(x)).mean((1, 2)), None


class Residual(nnx.Module):
    """Two convolutions with group norm before each, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, dtype: Any, rngs: nnx.Rngs):
        options: Any = {"dtype": dtype, "rngs": rngs}
        self.norms = nnx.List([GroupNorm(inputs, dtype=dtype), GroupNorm(outputs, dtype=dtype)])
        self.convs = nnx.List([Conv(inputs, outputs, **options), Conv(outputs, outputs, **options)])
        self.short = Conv(inputs, outputs, (1, 1), **options) if inputs != outputs else None

    def __call__(self, x: Any) -> Any:
        """x and what is added to it."""
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(jax.nn.relu(norm(h)))
        return h + (x if self.short is None else self.short(x))
