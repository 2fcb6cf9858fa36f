"""Views of samples: noise of vectors, crops of images, hidden patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.errors import UsageError

Array = Any


@dataclass(frozen=True)
class Noise:
    """Vectors with Gaussian noise."""

    number: int = 2
    """Views of a vector."""
    std: float = 0.6
    """Of the noise."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.number < 1 or self.std < 0:
            raise UsageError(f"number={self.number}, std={self.std}; expected at least 1 and 0")

    def __call__(self, key: Array, x: Array) -> tuple[Array, Array | None]:
        """Views (number, B, d) of x (B, d); there are no small ones."""
        return x + self.std * jax.random.normal(key, (self.number, *x.shape)), None

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples that are no vectors."""
        if len(shape) != 1:
            raise UsageError(f"views by noise are for vectors, the samples have shape {shape}; take image_distillation")

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Of the views of a sample, each once."""
        return (shape,)


@dataclass(frozen=True)
class Crops:
    """Large and small random crops with changed colours: multi-crop of SwAV and DINO, for images in [0, 1].

    Colours change in a fixed order; hue turns in the YIQ plane. One channel has brightness and contrast only.
    """

    number: int = 2
    """Large crops of an image."""
    size: int = 8
    """Side of a large crop."""
    scale: tuple[float, float] = (0.7, 1.0)
    """Share of the image's area in a large crop; .4 to 1 in DINO."""
    small: int = 0
    """Small crops of an image; 8 in DINO."""
    small_size: int = 4
    """Side of a small crop."""
    small_scale: tuple[float, float] = (0.3, 0.7)
    """Share of the image's area in a small crop; DINO has .05 to .4 on photographs."""
    flip: float = 0.0
    """Probability of mirroring; 0.5 in DINO."""
    jitter: tuple[float, float, float, float] = (0.2, 0.2, 0.0, 0.0)
    """Strengths of brightness, contrast, saturation and hue; .4, .4, .2, .1 in DINO."""
    jittered: float = 0.8
    """Probability of a change of colours."""
    grey: float = 0.0
    """Probability of grey; .2 in DINO."""
    blur: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Probability of a Gaussian blur of the first, of further large and of small crops; 1, .1 and .5 in DINO."""
    solarise: float = 0.0
    """Probability that bright values are inverted, of large crops after the first; .2 in DINO."""

    @classmethod
    def preset(cls, name: str) -> Crops:
        """Presets tiny, default (small grey images) and paper (DINO on photographs)."""
        if name != "paper":
            return cls(small=1) if name == "tiny" else cls()
        return cls(size=224, scale=(0.4, 1.0), small=8, small_size=96, small_scale=(0.05, 0.4), flip=0.5,
                   jitter=(0.4, 0.4, 0.2, 0.1), grey=0.2, blur=(1.0, 0.1, 0.5), solarise=0.2)  # fmt: skip

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("scale", "small_scale"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise UsageError(f"{name}={getattr(self, name)}; expected 0 < low <= high <= 1")
        if min(self.number, self.size, self.small_size) < 1 or self.small < 0:
            raise UsageError(f"number={self.number}, size={self.size}, small={self.small}, small_size="
                             f"{self.small_size}; expected at least 1, and 0 for small")  # fmt: skip

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples that are no images."""
        if len(shape) != 3:
            raise UsageError(f"crops are of images, the samples have shape {shape}; take the recipe distillation")

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Of the views of an image (h, w, c), each once."""
        sizes = (self.size, self.small_size) if self.small else (self.size,)
        return tuple((size, size, shape[2]) for size in sizes)

    def __call__(self, key: Array, x: Array) -> tuple[Array, Array | None]:
        """Large crops (number, B, size, size, c) of x (B, h, w, c), and small ones."""

        def view(i: int, size: int, scale: tuple[float, float], blur: float, solarise: float) -> Array:
            keys = jax.random.split(jax.random.fold_in(key, i), len(x))
            return jax.vmap(lambda k, image: self._one(k, image, size, scale, blur, solarise))(keys, x)

        large = []
        for i in range(self.number):
            large.append(view(i, self.size, self.scale, self.blur[min(i, 1)], self.solarise if i else 0.0))
        if not self.small:
            return jnp.stack(large), None
        some = range(self.number, self.number + self.small)
        small = [view(i, self.small_size, self.small_scale, self.blur[2], 0.0) for i in some]
        return jnp.stack(large), jnp.stack(small)

    def _one(self, key: Array, x: Array, size: int, scale: Any, blur: float, solarise: float) -> Array:
        keys = jax.random.split(key, 7)
        x = resized_crop(keys[0], x, size, scale)
        chance = jax.random.uniform(keys[1], (5,))
        if self.flip:
            x = jnp.where(chance[0] < self.flip, x[:, ::-1], x)
        if any(self.jitter):
            x = jnp.where(chance[1] < self.jittered, jitter(keys[2], x, self.jitter), x)
        if self.grey and x.shape[-1] == 3:
            x = jnp.where(chance[2] < self.grey, luma(x), x)
        if blur:
            x = jnp.where(chance[3] < blur, gaussian_blur(x, jax.random.uniform(keys[3], minval=0.1, maxval=2.0)), x)
        if solarise:
            x = jnp.where((chance[4] < solarise) & (x >= 0.5), 1 - x, x)
        return x


def resized_crop(key: Array, x: Array, size: int, scale: tuple[float, float]) -> Array:
    """A random part of x (h, w, c) of a share `scale` of its area, sides 3:4 to 4:3, resized to (size, size, c)."""
    h, w, c = x.shape
    keys = jax.random.split(key, 4)
    area = h * w * jax.random.uniform(keys[0], minval=scale[0], maxval=scale[1])
    ratio = jnp.exp(jax.random.uniform(keys[1], minval=math.log(3 / 4), maxval=math.log(4 / 3)))
    sides = jnp.minimum(jnp.sqrt(area * jnp.stack([1 / ratio, ratio])), jnp.array([h, w]))
    first = jax.random.uniform(keys[2], (2,)) * (jnp.array([h, w]) - sides)
    factor = size / sides
    part = jax.image.scale_and_translate(x, (size, size, c), (0, 1), factor, -first * factor, "cubic")
    return jnp.clip(part, 0, 1)


def luma(x: Array) -> Array:
    """Grey of colours (h, w, 3), in three equal channels; of one channel itself."""
    if x.shape[-1] != 3:
        return x
    return jnp.broadcast_to((x * jnp.array([0.299, 0.587, 0.114])).sum(-1, keepdims=True), x.shape)


def jitter(key: Array, x: Array, strength: tuple[float, float, float, float]) -> Array:
    """Brightness, contrast, saturation and hue of x (h, w, c) changed by random amounts."""
    amount = jax.random.uniform(key, (4,), minval=-1, maxval=1) * jnp.array(strength)
    x = jnp.clip(x * (1 + amount[0]), 0, 1)
    x = jnp.clip(luma(x).mean() + (x - luma(x).mean()) * (1 + amount[1]), 0, 1)
    if x.shape[-1] != 3:
        return x
    x = jnp.clip(luma(x) + (x - luma(x)) * (1 + amount[2]), 0, 1)
    yiq = jnp.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    angle = 2 * jnp.pi * amount[3]
    turn = jnp.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    turn = turn.at[1:, 1:].set(jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]]))
    return jnp.clip(x @ (jnp.linalg.inv(yiq) @ turn @ yiq).T, 0, 1)


def gaussian_blur(x: Array, std: Array, radius: int = 5) -> Array:
    """x (h, w, c) under a Gaussian kernel of a standard deviation in pixels; edges are repeated."""
    offsets = jnp.arange(-radius, radius + 1)
    kernel = jax.nn.softmax(-(offsets**2) / (2 * std**2))
    for axis in (0, 1):
        padded = jnp.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
        shifts = [jax.lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis) for i in range(2 * radius + 1)]
        x = jnp.tensordot(kernel, jnp.stack(shifts), 1)
    return x


def random_mask(
    key: Array, count: int, grid: tuple[int, int], ratio: tuple[float, float], probability: float = 1.0
) -> Array:
    """Patches to hide of a grid (h, w), (count, h w) bool: a random share within `ratio`, with some probability of any.

    iBOT hides .3 of every image; DINOv2 .1 to .5 of half of them.
    """
    k_wanted, k_rank = jax.random.split(key)
    tokens = grid[0] * grid[1]
    rank = jnp.argsort(jnp.argsort(jax.random.uniform(k_rank, (count, tokens)), 1), 1)
    return rank < _wanted(k_wanted, count, tokens, ratio, probability)[:, None]


def block_mask(
    key: Array, count: int, grid: tuple[int, int], ratio: tuple[float, float], probability: float = 1.0, most: int = 10
) -> Array:
    """The same by rectangles (BEiT, arXiv 2106.08254): at most `most` of them, sides 3:10 to 10:3.

    A rectangle is added while the wanted number of patches is not exceeded by it; what is missing is drawn alone.
    """
    h, w = grid

    def one(key: Array, wanted: Array) -> Array:
        k_boxes, k_rest = jax.random.split(key)

        def add(mask: Array, key: Array) -> tuple[Array, None]:
            keys = jax.random.split(key, 4)
            area = jax.random.uniform(keys[0], minval=1.0, maxval=jnp.maximum(wanted - mask.sum(), 1.0))
            aspect = jnp.exp(jax.random.uniform(keys[1], minval=math.log(0.3), maxval=-math.log(0.3)))
            sides = jnp.clip(jnp.round(jnp.sqrt(area * jnp.stack([aspect, 1 / aspect]))), 1, jnp.array([h, w]))
            first = jnp.floor(jax.random.uniform(keys[2], (2,)) * (jnp.array([h, w]) - sides + 1))
            rows, columns = jnp.arange(h)[:, None], jnp.arange(w)[None]
            box = (rows >= first[0]) & (rows < first[0] + sides[0]) & (columns >= first[1])
            more = mask | (box & (columns < first[1] + sides[1]))
            return jnp.where(more.sum() <= wanted, more, mask), None

        mask, _ = jax.lax.scan(add, jnp.zeros((h, w), bool), jax.random.split(k_boxes, most))
        order = jnp.where(mask.ravel(), -1.0, jax.random.uniform(k_rest, (h * w,)))
        return jnp.argsort(jnp.argsort(order)) < wanted

    k_wanted, k_each = jax.random.split(key)
    return jax.vmap(one)(jax.random.split(k_each, count), _wanted(k_wanted, count, h * w, ratio, probability))


def _wanted(key: Array, count: int, tokens: int, ratio: tuple[float, float], probability: float) -> Array:
    """How many patches to hide, (count,)."""
    k_share, k_any = jax.random.split(key)
    share = jax.random.uniform(k_share, (count,), minval=ratio[0], maxval=ratio[1])
    return jnp.round(jnp.where(jax.random.uniform(k_any, (count,)) < probability, share, 0.0) * tokens)


def kept(key: Array, count: int, tokens: int, drop: float) -> Array:
    """Indices (count, k) of the patches that are seen when a share `drop` of them is left out, k at least 1 (MSN)."""
    k = max(1, round((1 - drop) * tokens))
    return jnp.argsort(jax.random.uniform(key, (count, tokens)), 1)[:, :k]
