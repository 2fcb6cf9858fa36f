"""A vision transformer with the options of DINO and DINOv2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import Arithmetic
from genkit_representations.networks.stack import stack, through

NORMAL = nnx.initializers.truncated_normal(0.02)


@dataclass(frozen=True)
class ViT(Arithmetic):
    """A vision transformer (arXiv 2010.11929) with a class token, as in DINO (arXiv 2104.14294).

    Images of other sizes than that of the training get interpolated positions. Registers and layer scale are DINOv2's.
    """

    patch: int = 4
    """Side of a patch."""
    width: int = 64
    """Numbers of a token."""
    depth: int = 4
    """Blocks."""
    heads: int = 4
    """Of attention."""
    ratio: float = 4.0
    """Width of the perceptrons over that of a token."""
    registers: int = 0
    """Further tokens that no one reads (arXiv 2309.16588)."""
    scale: float | None = None
    """First value of the layer scale (arXiv 2103.17239), 1e-5 in DINOv2; none leaves it out."""
    drop_path: float = 0.1
    """Probability that the last block is left out in training; rises linearly over the blocks (arXiv 1603.09382)."""

    @classmethod
    def preset(cls, name: str) -> ViT:
        """Presets tiny (CI), default (two cores) and paper (ViT-S/16)."""
        if name == "tiny":
            return cls(patch=2, width=16, depth=1, heads=2)
        return cls(patch=16, width=384, depth=12, heads=6) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.patch, self.width, self.depth, self.heads) < 1 or self.width % self.heads or self.registers < 0:
            raise UsageError(
                f"patch={self.patch}, width={self.width}, depth={self.depth}, heads={self.heads}, "
                f"registers={self.registers}: expected positive sizes and heads that divide the width"
            )

    def grid(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows and columns of patches of an image (h, w, c); raises UsageError where its sides are no multiples."""
        if len(shape) != 3 or shape[0] % self.patch or shape[1] % self.patch:
            raise UsageError(f"a ViT of patches of {self.patch} for samples of shape {shape}; expected (h, w, c) with "
                             "sides that are multiples of it")  # fmt: skip
        return shape[0] // self.patch, shape[1] // self.patch

    def check(self, shape: tuple[int, ...], view: tuple[int, ...]) -> None:
        """Refuse samples and views that patches do not divide."""
        for one in (shape, view):
            self.grid(one)

    def build(self, rngs: nnx.Rngs, shape: tuple[int, ...]) -> ViTModule:
        """The module for images (h, w, c)."""
        return ViTModule(self, shape, rngs)


class ViTModule(nnx.Module):
    """See `ViT`; its parameters carry timm's meaning, see `genkit_representations.networks.import_vit`.

    Linear maps start with DINO's standard deviation, .02, at its width of 384, and with as large an output at others.
    """

    def __init__(self, config: ViT, shape: tuple[int, ...], rngs: nnx.Rngs):
        width, p = config.width, config.patch
        self.config, self.width = config, width
        self.grid = config.grid(shape)
        self.embed = nnx.Linear(p * p * shape[2], width, kernel_init=normal(width), dtype=config.numbers, rngs=rngs)
        self.token = nnx.Param(NORMAL(rngs(), (1, width)))
        self.position = nnx.Param(NORMAL(rngs(), (1 + self.grid[0] * self.grid[1], width)))
        self.registers = nnx.Param(NORMAL(rngs(), (config.registers, width))) if config.registers else None
        self.masked = nnx.Param(jnp.zeros(width))
        self.blocks = stack(lambda rngs: Block(config, rngs), config.depth, rngs)
        self.norm = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)

    def __call__(self, x: Any, mask: Any = None, keep: Any = None, key: Any = None) -> tuple[Any, Any]:
        """Features of images (n, h, w, c) and of their patches.

        Args:
            x: images, of any size that patches divide.
            mask: patches (n, T) that are replaced by one trained token, bool.
            keep: indices (n, k) of the patches that are seen at all.
            key: for dropping blocks in training.
        """
        config, p = self.config, self.config.patch
        n, h, w, c = x.shape
        grid = config.grid((h, w, c))
        x = x.reshape(n, grid[0], p, grid[1], p, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, grid[0] * grid[1], p * p * c)
        x = self.embed(x).astype(jnp.float32)
        if mask is not None:
            x = jnp.where(mask[..., None], self.masked[...], x)
        x = x + self._positions(grid)
        if keep is not None:
            x = jnp.take_along_axis(x, keep[..., None], 1)
        token = jnp.broadcast_to(self.token[...] + self.position[...][:1], (n, 1, self.width))
        extra = [] if self.registers is None else [jnp.broadcast_to(self.registers[...], (n, *self.registers.shape))]
        x = jnp.concatenate([token, *extra, x], 1)
        passed = jnp.ones((config.depth, n, 1, 1))
        if key is not None and config.drop_path:
            rates = config.drop_path * jnp.arange(config.depth) / max(config.depth - 1, 1)
            keeps = 1 - rates[:, None, None, None]
            passed = jax.random.bernoulli(key, keeps, passed.shape) / keeps
        x, passed = (a.astype(config.numbers) for a in (x, passed))
        x = self.norm(through(self.blocks, x, passed, remat=config.remat))
        return x[:, 0], x[:, 1 + config.registers :]

    def _positions(self, grid: tuple[int, int]) -> Any:
        """(T, width), by cubic interpolation where the grid is another, as timm and DINOv2 with registers do it."""
        position = self.position[...][1:]
        if grid == self.grid:
            return position
        image = position.reshape(*self.grid, self.width)
        return jax.image.resize(image, (*grid, self.width), "cubic").reshape(-1, self.width)


def normal(width: int) -> Any:
    """A truncated normal of standard deviation .02 sqrt(384 / width)."""
    return nnx.initializers.truncated_normal(0.02 * (384 / width) ** 0.5)


class Block(nnx.Module):
    """Attention and a perceptron, each after a layer norm and added to its input."""

    def __init__(self, config: ViT, rngs: nnx.Rngs):
        width, inner = config.width, round(config.ratio * config.width)
        options: Any = {"dtype": config.numbers, "rngs": rngs}
        linear = lambda a, b: nnx.Linear(a, b, kernel_init=normal(width), **options)  # noqa: E731
        self.heads = config.heads
        self.norms = nnx.List([nnx.LayerNorm(width, epsilon=1e-6, **options) for _ in range(2)])
        self.qkv, self.out = linear(width, 3 * width), linear(width, width)
        self.up, self.down = linear(width, inner), linear(inner, width)
        self.scales = None if config.scale is None else nnx.Param(jnp.full((2, width), config.scale))

    def __call__(self, x: Any, passed: Any) -> Any:
        """x (n, T, width); `passed` (n, 1, 1) multiplies what is added."""
        scales = (1.0, 1.0) if self.scales is None else self.scales[...].astype(x.dtype)
        x = x + passed * scales[0] * self._attend(self.norms[0](x))
        return x + passed * scales[1] * self.down(jax.nn.gelu(self.up(self.norms[1](x)), approximate=False))

    def _attend(self, x: Any) -> Any:
        n, t, width = x.shape
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads), 2, 0)
        return self.out(jax.nn.dot_product_attention(q, k, v).reshape(n, t, width))
