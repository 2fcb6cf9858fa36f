"""Encoder and decoder of images by residual blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import Net, linear, xavier_uniform


@dataclass(frozen=True)
class Residual:
    """Residual blocks with batch norm, between which images are halved or doubled (Daniel and Tamar 2021, 2012.13253).

    In training each batch is normalised by its own moments; `settled` takes those of real rows once and for all.
    """

    channels: tuple[int, ...] = (64, 128)
    """Of the blocks, from the image inwards."""
    image: tuple[int, int, int] = (28, 28, 1)
    """Height, width and channels, which a row holds in this order."""
    fixed: bool = False
    """Whether moments that were kept normalise, and not those of the batch."""

    def build(self, rngs: nnx.Rngs, inputs: int, outputs: int) -> EncoderModule | DecoderModule:
        """An encoder where the inputs are images, a decoder where the outputs are: (n, inputs) -> (n, outputs)."""
        times = 2 ** len(self.channels)
        if not self.channels or min(self.channels) < 1 or self.image[0] % times or self.image[1] % times:
            raise UsageError(
                f"channels={self.channels}: an image {self.image} is not halved {len(self.channels)} times"
            )
        size = math.prod(self.image)
        if size not in (inputs, outputs):
            raise UsageError(
                f"image={self.image} has {size} numbers, the rows of data {inputs if inputs > outputs else outputs}"
            )
        return EncoderModule(self, outputs, rngs) if size == inputs else DecoderModule(self, inputs, rngs)

    def settled(self, net: Net, params: Any, x: Any, batch: int) -> tuple[Net, Any]:
        """The network with the moments of one pass over x, means of those of batches, and its parameters."""
        found = []

        @jax.jit
        def moments(x: Any) -> Any:
            module = net.module(params)
            module(x)
            return nnx.to_pure_dict(nnx.state(module, nnx.Param))

        for i in range(0, len(x) - min(batch, len(x)) + 1, batch):
            found.append(moments(x[i : i + batch]))
        mean = jax.tree.map(lambda *a: jnp.asarray(np.mean(np.stack(a), 0)), *found)
        return Net(replace(self, fixed=True), net.sizes), mean


class BatchNorm(nnx.Module):
    """Batch norm (Ioffe and Szegedy 2015) of images (n, h, w, c)."""

    def __init__(self, channels: int, fixed: bool):
        self.fixed = fixed
        self.scale, self.shift = nnx.Param(jnp.ones(channels)), nnx.Param(jnp.zeros(channels))
        self.mean, self.variance = nnx.Param(jnp.zeros(channels)), nnx.Param(jnp.ones(channels))

    def __call__(self, x: Any) -> Any:
        """By the moments of x, which are kept, or by those that were kept."""
        if not self.fixed:
            self.mean[...], self.variance[...] = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - self.mean[...]) * jax.lax.rsqrt(self.variance[...] + 1e-5) * self.scale[...] + self.shift[...]


def _leaky(x: Any) -> Any:
    return jax.nn.leaky_relu(x, 0.2)


def _conv(inputs: int, outputs: int, side: int, rngs: nnx.Rngs, bias: bool = False) -> nnx.Conv:
    return nnx.Conv(inputs, outputs, (side, side), use_bias=bias, kernel_init=xavier_uniform(), rngs=rngs)


class Block(nnx.Module):
    """Two convolutions 3 x 3, each with a norm, a leaky ReLU between them and one after the input is added.

    Where the input is narrower it goes through a convolution 1 x 1.
    """

    def __init__(self, inputs: int, outputs: int, fixed: bool, rngs: nnx.Rngs):
        self.widen = None if inputs == outputs else _conv(inputs, outputs, 1, rngs)
        self.one, self.two = _conv(inputs, outputs, 3, rngs), _conv(outputs, outputs, 3, rngs)
        self.norms = nnx.List([BatchNorm(outputs, fixed) for _ in range(2)])

    def __call__(self, x: Any) -> Any:
        """Apply it to (n, h, w, inputs)."""
        y = self.norms[1](self.two(_leaky(self.norms[0](self.one(x)))))
        return _leaky(y + (x if self.widen is None else self.widen(x)))


def _halved(x: Any) -> Any:
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _doubled(x: Any) -> Any:
    return x.repeat(2, 1).repeat(2, 2)


class EncoderModule(nnx.Module):
    """See `Residual`."""

    def __init__(self, config: Residual, outputs: int, rngs: nnx.Rngs):
        first, *rest = config.channels
        self.image = config.image
        self.first, self.norm = _conv(config.image[2], first, 5, rngs), BatchNorm(first, config.fixed)
        widths = (first, *rest, config.channels[-1])
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nnx.List([Block(a, b, config.fixed, rngs) for a, b in pairs])
        small = math.prod(config.image[:2]) // 4 ** len(config.channels)
        self.last = linear(small * config.channels[-1], outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Rows (n, inputs) to (n, outputs)."""
        x = _halved(_leaky(self.norm(self.first(x.reshape(-1, *self.image)))))
        *blocks, last = self.blocks
        for block in blocks:
            x = _halved(block(x))
        return self.last(last(x).reshape(len(x), -1))


class DecoderModule(nnx.Module):
    """See `Residual`."""

    def __init__(self, config: Residual, inputs: int, rngs: nnx.Rngs):
        deep, times = config.channels[-1], 2 ** len(config.channels)
        self.small = (config.image[0] // times, config.image[1] // times, deep)
        self.first = linear(inputs, math.prod(self.small), rngs=rngs)
        widths = (deep, *config.channels[::-1], config.channels[0])
        pairs = zip(widths, widths[1:], strict=False)
        self.blocks = nnx.List([Block(a, b, config.fixed, rngs) for a, b in pairs])
        self.last = _conv(config.channels[0], config.image[2], 5, rngs, bias=True)

    def __call__(self, z: jax.Array) -> jax.Array:
        """Points (n, inputs) to rows (n, outputs)."""
        x = jax.nn.relu(self.first(z)).reshape(-1, *self.small)
        *blocks, last = self.blocks
        for block in blocks:
            x = _doubled(block(x))
        return self.last(last(x)).reshape(len(z), -1)
