"""The U-Net of Diffusion-LAM: two embedders, for the interior and for the frame, in front of a DDPM++ U-Net."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from flax import nnx

import genkit.nn as gnn
from genkit.errors import UsageError
from genkit.kinds import ZERO
from genkit_weather.area import interior_of, join
from genkit_weather.networks.conditioning import Conditioning, Sizes
from genkit_weather.networks.embedding import Embedding


@dataclass(frozen=True)
class LamUNet(gnn.UNet):
    """U-Net for a limited area (Larsson et al. 2025, arXiv 2502.07532), or for a domain without a frame.

    Interior and frame cells pass separate perceptrons with noise-conditioned layer norm, are put together into
    one image, pass a DDPM++ U-Net, and the interior cells of its output are the result.
    """

    base: int = 24
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    bottleneck_attention: bool = False
    dropout: float = 0.0
    padding: tuple[gnn.Padding, gnn.Padding] = ("zero", "zero")
    patch: int = 2
    embedder: Annotated[int, ZERO] = 24
    """width of the perceptrons of the cells; 0 leaves them out, where there is no frame"""
    embedder_skip: bool = True
    """add a linear map of the fields to each perceptron, whose layer norm alone loses amplitudes at small widths"""
    embedding: int = 128
    """width of the noise embedding"""
    frequencies: Literal["fourier", "positional"] = "positional"
    """features of the noise level: random Fourier features (published) or a smooth geometric ladder"""
    features: int = 128
    """how many"""
    noise_skip: Annotated[int, ZERO] = 4
    """scales at which the noisy input is added to the output, as it is and smoothed, each times a learned function of
    the noise level, so that the network can start by denoising and leaves no noise at the scale of cells; 0 is none"""
    smooth: bool = False
    """smooth the output, so that no waves of two cells are left: where patches are folded, the network makes those of
    unrelated channels, and forecasts that go on from the last state add them up"""

    @classmethod
    def preset(cls, name: str) -> "LamUNet":
        """`tiny`, `default`, or `paper`: the published sizes for 268 x 238 cells."""
        if name == "tiny":
            return cls(base=16, multipliers=(1,), blocks=1, embedding=64)
        if name == "paper":
            return cls(
                base=128,
                multipliers=(1, 2, 2, 2),
                blocks=4,
                dropout=0.1,
                padding=("replicate", "replicate"),
                patch=1,
                embedder=128,
                embedder_skip=False,
                embedding=512,
                frequencies="fourier",
                noise_skip=0,
                bottleneck_attention=True,
                remat=True,
            )
        return cls()

    def build(self, rngs: nnx.Rngs, sizes: Sizes) -> "LamUNetModule":  # type: ignore[override]
        """Module F(x (n, h, w, V), c_noise (n,), Conditioning) -> (n, h, w, V); x and c_noise None with a latent."""
        if not self.embedder and any(sizes.frame):
            raise UsageError("a frame has other fields than the interior; give the network an embedder, above 0")
        if any(f and rule == "circular" for f, rule in zip(sizes.frame, self.padding, strict=True)):
            raise UsageError(f"padding={self.padding} joins ends that a frame divides; choose zero or replicate there")
        return LamUNetModule(self, sizes, rngs)


class CellEmbedder(nnx.Module):
    """Perceptron of each cell with one hidden layer and a noise-conditioned layer norm.

    Fields that are the same in all cells enter the first layer as a vector: the same map as on repeated fields,
    without repeating them.
    """

    def __init__(self, inputs: int, scalars: int, width: int, embedding: int, *, skip: bool, dtype, rngs: nnx.Rngs):
        self.first = gnn.linear(inputs, width, dtype=dtype, rngs=rngs)
        self.common = gnn.linear(scalars, width, dtype=dtype, rngs=rngs) if scalars else None
        self.second = gnn.linear(width, width, dtype=dtype, rngs=rngs)
        self.norm = gnn.ConditionalNorm(width, embedding, dtype=dtype, rngs=rngs)
        self.skip = gnn.linear(inputs, width, dtype=dtype, rngs=rngs) if skip else None

    def __call__(self, x, scalars, emb):
        """`x` (n, ..., inputs), `scalars` (n, G), `emb` (n or 1, e) -> (n, ..., width)."""
        h = self.first(x)
        if self.common is not None:
            h = h + self.common(scalars).reshape(-1, *(1,) * (x.ndim - 2), h.shape[-1])
        out = self.norm(self.second(jax.nn.silu(h)), emb)
        return out if self.skip is None else out + self.skip(x)


class LamUNetModule(nnx.Module):
    """The network of a `LamUNet` configuration; see `LamUNet.build`."""

    def __init__(self, config: LamUNet, sizes: Sizes, rngs: nnx.Rngs):
        dtype = config.numbers
        self.frame, self.scales, self.padding = sizes.frame, config.noise_skip * (not sizes.latent), config.padding
        self.smooth = config.smooth
        embedding = {"kind": config.frequencies, "features": config.features, "dtype": dtype, "rngs": rngs}
        self.embedding = Embedding(config.embedding, sizes, **embedding)
        widths = sizes.scalars, config.embedder, config.embedding

        def embedder(inputs):
            return CellEmbedder(inputs, *widths, skip=config.embedder_skip, dtype=dtype, rngs=rngs)

        self.inner = embedder(sizes.cells) if config.embedder else None
        self.outer = embedder(sizes.boundary) if any(sizes.frame) else None
        inputs = config.embedder or sizes.cells + sizes.scalars
        self.unet = gnn.UNet.build(config, rngs, inputs, sizes.outputs, sizes.grid, config.embedding)
        skips = self.scales * sizes.outputs
        self.skip = gnn.linear(config.embedding, skips, gain=1e-5, rngs=rngs) if skips else None

    def __call__(self, x, c_noise, cond: Conditioning):
        """`x` (n, h, w, V) noisy target times c_in, `c_noise` () or (n,) -> (n, h, w, V)."""
        emb = self.embedding(c_noise, cond)
        image = cond.interior if x is None else jnp.concatenate([x, cond.interior], -1)
        if self.inner is None:
            scalars = cond.scalars[:, None, None]
            image = jnp.concatenate([image, jnp.broadcast_to(scalars, (*image.shape[:3], scalars.shape[-1]))], -1)
        else:
            image = self.inner(image, cond.scalars, emb)
        if self.outer is not None:
            image = join(self.outer(cond.frame, cond.scalars, emb), image, self.frame)
        out = interior_of(self.unet(image, emb, cond.key), self.frame).astype(jnp.float32)
        if self.smooth:
            out = smoothed(out, 2, self.padding)[..., 1, :]
        if self.skip is None or x is None:
            return out
        gains = self.skip(emb).reshape(-1, 1, 1, self.scales, x.shape[-1])
        return out + (gains * smoothed(x, self.scales, self.padding)).sum(-2)


def smoothed(x, scales: int, padding: tuple[gnn.Padding, gnn.Padding] = ("zero", "zero")):
    """x (n, h, w, V) and its smoothed versions, each twice as wide as the one before: (n, h, w, scales, V).

    Cubic B-splines with holes (Holschneider et al. 1989); the border is repeated, but where the padding is circular; an
    axis of one cell stays as it is.
    """
    levels = [x]
    for level in range(scales - 1):
        reach = 2**level
        for axis, rule in zip((1, 2), padding, strict=True):
            size, mode = x.shape[axis], "wrap" if rule == "circular" else "edge"
            if size > 1:
                wide = jnp.pad(x, [(2 * reach, 2 * reach) if a == axis else (0, 0) for a in range(x.ndim)], mode=mode)
                shifted = [jax.lax.slice_in_dim(wide, i * reach, i * reach + size, axis=axis) for i in range(5)]
                x = reduce(add, (weight / 16 * a for weight, a in zip((1, 4, 6, 4, 1), shifted, strict=True)))
        levels.append(x)
    return jnp.stack(levels, -2)
