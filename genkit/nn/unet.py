"""The DDPM++ U-Net in its EDM form (Karras et al. 2022, table 7; Song et al. 2021) for images of any size."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.nn.arithmetic import Arithmetic
from genkit.nn.attention import SelfAttention
from genkit.nn.conv import (
    Conv,
    GroupNorm,
    Padding,
    depth_to_space,
    downsample,
    pad_replicate,
    space_to_depth,
    upsample,
)
from genkit.nn.functional import dropout
from genkit.nn.mlp import linear
from genkit.parallel import split_rows


@dataclass(frozen=True)
class UNet(Arithmetic):
    """U-Net of residual blocks with a noise embedding.

    A convolution to `base` channels comes first. Each level has `blocks` residual blocks in the encoder and one more in
    the decoder; between levels the image is halved. Sizes are made even by repeating the border; an axis of size 1 is
    never halved, so the same network serves series (n, 1, w, c). On a mesh of devices whose axis "model" is longer than
    1 each has some of the rows (`genkit.parallel.split_rows`).
    """

    base: int = 32
    """channels after the first convolution"""
    multipliers: tuple[int, ...] = (1, 2)
    """channels of each level over `base`"""
    blocks: int = 2
    """residual blocks a level"""
    attention: tuple[int, ...] = ()
    """levels (0 = finest) with self-attention in their blocks"""
    bottleneck_attention: bool = True
    """self-attention between encoder and decoder"""
    heads: int = 1
    """attention heads"""
    dropout: float = 0.1
    """dropout probability in the residual blocks"""
    padding: tuple[Padding, Padding] = ("replicate", "replicate")
    """border rule of the rows and of the columns"""
    patch: int = 1
    """fold patches of this many cells squared into channels before the first level"""
    taps: tuple[int, ...] = (1, 1)
    """filter that halves and doubles images: 1 1 is the mean of 2x2 cells, 1 3 3 1 that of NCSN++"""
    encoder: Literal["standard", "residual"] = "standard"
    """residual, as in NCSN++: the image itself, convolved and halved, is added at each level after the first"""
    resample_skip: bool = False
    """a 1x1 convolution in the skip of blocks that halve or double, also where the channels stay"""
    adaptive_scale: bool = False
    """the embedding scales and shifts the second norm of a block, as in ADM (Dhariwal and Nichol 2021, arXiv
    2105.05233), in place of a shift before it"""

    def build(self, rngs: nnx.Rngs, inputs: int, outputs: int, size: tuple[int, int], embedding: int) -> "UNetModule":
        """Module from (n, *size, inputs) and an embedding (n, embedding) to (n, *size, outputs)."""
        return UNetModule(self, inputs, outputs, size, embedding, rngs)


def _each(number: int, size: tuple[int, int]) -> tuple[int, int]:
    """The number for each axis of an image, 1 for an axis of one cell."""
    return number if size[0] > 1 else 1, number if size[1] > 1 else 1


def level_sizes(size: tuple[int, int], levels: int, patch: int = 1) -> list[tuple[int, int]]:
    """Image size of each level: the size in patches, even wherever it is halved (but 1 stays 1)."""
    sizes = []
    now = tuple(-(-s // patch) if s > 1 else 1 for s in size)
    for level in range(levels):
        if level < levels - 1:
            now = tuple(s + s % 2 if s > 1 else 1 for s in now)
        sizes.append(now)
        now = tuple(max(1, s // 2) for s in now)
    return sizes


def activation_bytes(config: UNet, size: tuple[int, int], training: bool = False) -> int:
    """Estimated memory of one item's activations, without parameters; right within a factor of 2.

    Forward, the skips of all levels and about six images of the widest level live at once; in training every block
    keeps about eight images for the backward pass, or with `remat` only its input.
    """
    number = 2 if config.dtype == "bfloat16" else 4
    sizes = level_sizes(size, len(config.multipliers), config.patch)
    images = [h * w * config.base * m * number for (h, w), m in zip(sizes, config.multipliers, strict=True)]
    skips, work = sum(image * (config.blocks + 1) for image in images), 6 * max(images)
    if not training:
        return skips + work
    kept = 1 if config.remat else 8
    return sum(image * (2 * config.blocks + 3) * kept for image in images) + 2 * work


class ResidualBlock(nnx.Module):
    """GroupNorm, SiLU, conv, + Linear(emb), GroupNorm, SiLU, dropout, conv; plus the skip; times sqrt(1/2).

    With `size` the input is resampled to it (halved, or doubled and cropped) inside both branches.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        config: UNet,
        kernel: tuple[int, int],
        size: tuple[int, int] | None = None,
        down: bool = False,
        crop: bool = False,
        attention: bool = False,
        rngs: nnx.Rngs,
    ):
        dtype = config.numbers
        options = {"padding": config.padding, "dtype": dtype, "rngs": rngs}
        self.size, self.down, self.rate = size, down, config.dropout
        self.filter = config.taps, config.padding
        self.norm1 = GroupNorm(inputs, dtype=dtype)
        self.conv1 = Conv(inputs, outputs, kernel, **options)
        self.adaptive = config.adaptive_scale
        self.emb = linear(embedding, outputs * (1 + self.adaptive), dtype=dtype, rngs=rngs)
        self.norm2 = GroupNorm(outputs, dtype=dtype)
        self.conv2 = Conv(outputs, outputs, kernel, gain=1e-5, **options)
        mixed = inputs != outputs or (config.resample_skip and size is not None)
        self.skip = Conv(inputs, outputs, (1, 1), dtype=dtype, rngs=rngs) if mixed else None
        # doubling and cropping an odd image shifts its border; one more convolution may mend it
        self.fix = Conv(outputs, outputs, kernel, **options) if crop else None
        self.attention = SelfAttention(outputs, config.heads, dtype=dtype, rngs=rngs) if attention else None

    def resample(self, x):
        """Bring `x` to the block's size."""
        if self.size is None:
            return x
        if self.down:
            return pad_replicate(downsample(x, *self.filter), self.size)
        return upsample(x, self.size, *self.filter)

    def __call__(self, x, emb, key=None):
        """`x` (n, h, w, inputs), `emb` (n or 1, e); `key` switches dropout on."""
        h = self.conv1(self.resample(jax.nn.silu(self.norm1(x))))
        told = self.emb(emb)[:, None, None]
        if self.adaptive:
            scale, shift = jnp.split(told, 2, -1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + told)
        h = self.conv2(dropout(jax.nn.silu(h), self.rate, key))
        x = self.resample(x)
        x = (h + (x if self.skip is None else self.skip(x))) * 0.5**0.5
        if self.fix is not None:
            x = self.fix(x)
        return x if self.attention is None else self.attention(x) * 0.5**0.5


class UNetModule(nnx.Module):
    """The network of a `UNet` configuration; see `UNet.build`."""

    def __init__(self, config: UNet, inputs: int, outputs: int, size: tuple[int, int], embedding: int, rngs: nnx.Rngs):
        levels = len(config.multipliers)
        self.patch = _each(config.patch, size)
        self.options, self.size, self.dtype = config, size, config.numbers
        self.sizes = tuple(level_sizes(size, levels, config.patch))
        kernel = _each(3, size)
        cells = self.patch[0] * self.patch[1]
        widths = [config.base * m for m in config.multipliers]
        options = {"padding": config.padding, "dtype": self.dtype, "rngs": rngs}

        def block(a, b, **where):
            return ResidualBlock(a, b, embedding, config=config, kernel=kernel, rngs=rngs, **where)

        self.first = Conv(inputs * cells, config.base, kernel, **options)
        skips, encoder, now = [config.base], [], config.base
        images, seen = [], inputs * cells
        for level, width in enumerate(widths):
            if level:
                encoder.append(block(now, now, size=self.sizes[level], down=True))
                skips.append(now)
                if config.encoder == "residual":
                    images.append(Conv(seen, now, kernel, **options))
                    seen = now
            for _ in range(config.blocks):
                encoder.append(block(now, width, attention=level in config.attention))
                now = width
                skips.append(now)
        self.middle = nnx.List([block(now, now, attention=config.bottleneck_attention), block(now, now)])
        decoder = []
        for level in reversed(range(levels)):
            for i in range(config.blocks + 1):
                attention = level in config.attention and i == config.blocks
                decoder.append(block(now + skips.pop(), widths[level], attention=attention))
                now = widths[level]
            if level:
                target, coarse = self.sizes[level - 1], self.sizes[level]
                crop = any(1 < t < 2 * c for t, c in zip(target, coarse, strict=True))
                decoder.append(block(now, now, size=target, crop=crop))
        self.encoder, self.decoder, self.images = nnx.List(encoder), nnx.List(decoder), nnx.List(images)
        self.norm = GroupNorm(now, dtype=self.dtype)
        self.last = Conv(now, outputs * cells, kernel, gain=1e-5, **options)

    def __call__(self, x, emb, key=None):
        """`x` (n, H, W, inputs), `emb` (n or 1, e) -> (n, H, W, outputs); `key` switches dropout on."""
        (h, w), (p, q) = self.sizes[0], self.patch
        x = split_rows(space_to_depth(pad_replicate(x.astype(self.dtype), (h * p, w * q)), self.patch))
        emb = emb.astype(self.dtype)
        keys = iter([None] * self.count if key is None else jax.random.split(key, self.count))

        def call(block, x):
            return split_rows(self.options.through(block, x, emb, next(keys)))

        image, images = x, iter(self.images)
        x = self.first(x)
        skips = [x]
        for block in self.encoder:
            x = call(block, x)
            if block.down and len(self.images):
                x = image = (x + block.resample(next(images)(image))) * 0.5**0.5
            skips.append(x)
        for block in self.middle:
            x = call(block, x)
        for block in self.decoder:
            if block.size is None:
                x = jnp.concatenate([x, skips.pop()], -1)
            x = call(block, x)
        x = self.last(jax.nn.silu(self.norm(x)))
        return depth_to_space(x, self.patch)[:, : self.size[0], : self.size[1]]

    @property
    def count(self) -> int:
        """Number of residual blocks."""
        return len(self.encoder) + len(self.middle) + len(self.decoder)
