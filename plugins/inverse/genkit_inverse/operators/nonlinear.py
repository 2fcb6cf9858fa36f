"""Measurements that are no linear maps: pictures that are compressed or too bright."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import dct

from genkit.errors import UsageError
from genkit.steer import Function, function
from genkit.tree import register_dataclass
from genkit_inverse.operators.task import Task

Array = jax.Array

# ITU-T T.81, tables K.1 and K.2
LUMA_STEPS = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
CHROMA_STEPS = np.full((8, 8), 99)
CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# of libjpeg, which counts in 65536ths
YCBCR = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]]) / 65536
RGB = np.array([[65536, 0, 91881], [65536, -22554, -46802], [65536, 116130, 0]]) / 65536


@dataclass(frozen=True)
class JPEG(Task):
    """Compressed as by libjpeg and shown again: rounded coefficients of blocks of 8 x 8.

    The slope is that without rounding (straight through).
    """

    quality: int = 10
    """1 to 100, as of libjpeg."""
    subsampling: Literal["4:2:0", "4:4:4"] = "4:2:0"
    """Whether colours are halved."""
    range: tuple[float, float] = (-1.0, 1.0)
    """Black and white of the images."""

    def build(self, shape: Sequence[int]) -> Function:
        """Of grey images or of colours."""
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality={self.quality} of JPEG; expected 1 to 100")
        if shape[2] not in (1, 3):
            raise UsageError(f"{shape[2]} channels; JPEG has 1 or 3")
        _check_range(self.range)
        scale = 5000 / self.quality if self.quality < 50 else 200 - 2 * self.quality
        luma, chroma = (np.clip(np.floor((t * np.floor(scale) + 50) / 100), 1, 255) for t in (LUMA_STEPS, CHROMA_STEPS))
        return function(Compressed(*self.range, luma, chroma, self.subsampling == "4:2:0"), shape)


@dataclass(frozen=True)
class Clipping(Task):
    """Made brighter and cut: what an overexposed picture keeps."""

    scale: float = 2.0
    """Of the brightness, which is 0 at black."""
    range: tuple[float, float] = (-1.0, 1.0)
    """Black and white of the images, between which is kept."""

    def build(self, shape: Sequence[int]) -> Function:
        """A number each."""
        _check_range(self.range)
        if self.scale <= 0:
            raise UsageError(f"scale={self.scale} of the brightness must be positive")
        return function(Cut(self.scale, *self.range), shape)


def _check_range(bounds: tuple[float, float]) -> None:
    if not bounds[0] < bounds[1]:
        raise UsageError(f"range={bounds}; expected black below white")


@register_dataclass
@dataclass(frozen=True)
class Cut:
    """clip(low + scale (x - low), low, high)."""

    scale: Any
    low: Any
    high: Any

    def __call__(self, x: Array) -> Array:
        """The same shape."""
        return jnp.clip(self.low + self.scale * (x - self.low), self.low, self.high)


@register_dataclass
@dataclass(frozen=True)
class Compressed:
    """JPEG there and back, (n, h, w, 1 or 3)."""

    low: Any
    high: Any
    luma: Any
    """(8, 8) steps of the coefficients"""
    chroma: Any
    halved: bool = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """The same shape."""
        grey = 255 * (x - self.low) / (self.high - self.low)
        grey = jnp.clip(_rounded(grey), 0, 255)
        if x.shape[-1] == 1:
            shown = self._channel(grey[..., 0] - 128, self.luma)[..., None] + 128
        else:
            matrix = jnp.asarray(YCBCR, x.dtype)
            down = np.array([0.0, 1.0, 1.0]) / 65536  # libjpeg rounds halves of colours down
            ycc = _rounded(grey @ matrix.T, jnp.asarray(0.5 - down, x.dtype)) - jnp.array([128.0, 0.0, 0.0], x.dtype)
            planes = [self._channel(ycc[..., 0], self.luma)]
            planes += [self._colour(ycc[..., i]) for i in (1, 2)]
            ycc = jnp.stack(planes, -1) + jnp.array([128.0, 0.0, 0.0], x.dtype)
            shown = ycc @ jnp.asarray(RGB.T, x.dtype)
        shown = jnp.clip(_rounded(shown), 0, 255)
        return self.low + (self.high - self.low) * shown / 255

    def _colour(self, plane: Array) -> Array:
        if not self.halved:
            return self._channel(plane, self.chroma)
        h, w = plane.shape[1:]
        whole = jnp.pad(plane, ((0, 0), (0, -h % 2), (0, -w % 16)), mode="edge")  # rows are repeated once halved
        small = whole.reshape(len(plane), whole.shape[1] // 2, 2, whole.shape[2] // 2, 2).mean((2, 4))
        column = jnp.arange(small.shape[2]) % 2  # of halves libjpeg rounds every other column up
        shown = self._channel(_rounded(small, 0.25 + 0.25 * column), self.chroma)[:, : (h + 1) // 2, : (w + 1) // 2]
        up = 0.5 - 0.0625 * (jnp.arange(2 * shown.shape[2]) % 2)
        return _rounded(_doubled(_doubled(shown, 1), 2), up)[:, :h, :w]

    def _channel(self, plane: Array, table: Any) -> Array:
        """A plane (n, h, w) about 0, its border repeated to whole blocks, by its rounded coefficients.

        Both transforms are rounded as those of libjpeg (jfdctint, jidctint): along rows and columns in turn, between
        them to quarters of sqrt(8) coefficients.
        """
        n, h, w = plane.shape
        blocks = jnp.pad(plane, ((0, 0), (0, -h % 8), (0, -w % 8)), mode="edge")
        shape = n, blocks.shape[1] // 8, 8, blocks.shape[2] // 8, 8
        turn = jnp.asarray(8**0.5 * np.asarray(dct(np.eye(8), axis=0, norm="ortho")), plane.dtype)
        steps = jnp.asarray(table, plane.dtype)
        rows = _rounded(4 * jnp.einsum("niajb,vb->niajv", blocks.reshape(shape), turn))
        c = _rounded(jnp.einsum("ua,niajv->nijuv", turn, rows) / 4) / 8
        count = c / steps
        away = jnp.sign(count) * jnp.floor(jnp.abs(count) + 0.5)  # halves away from 0
        c = (count + jax.lax.stop_gradient(away - count)) * steps
        columns = _rounded(4 * jnp.einsum("ua,nijuv->niajv", turn, c))
        back = jnp.einsum("niajv,vb->niajb", columns, turn) / 32
        return jnp.clip(_rounded(back.reshape(blocks.shape)[:, :h, :w]), -128, 127)


def _doubled(x: Array, axis: int) -> Array:
    """Twice as many cells along an axis, 3/4 of the nearest and 1/4 of the next, as libjpeg makes colours smooth."""
    n, cut = x.shape[axis], lambda a, b: jax.lax.slice_in_dim(x, a, b, axis=axis)
    before = jnp.concatenate([cut(0, 1), cut(0, n - 1)], axis)
    after = jnp.concatenate([cut(1, n), cut(n - 1, n)], axis)
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])


def _rounded(x: Array, up: Any = 0.5) -> Array:
    """floor(x + up), with the slope of x."""
    return x + jax.lax.stop_gradient(jnp.floor(x + up) - x)
