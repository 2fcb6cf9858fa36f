"""Convolution with a padding rule for each axis, group norm, resampling of images (n, h, w, c)."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.custom_derivatives import SymbolicZero

from genkit.nn.mlp import xavier_uniform

Padding = Literal["zero", "replicate", "circular"]


def convolve(x, w, strides: Sequence[int], padding: Any, **options: Any) -> jax.Array:
    """`jax.lax.conv_general_dilated` of (n, h, w, inputs) and (p, q, inputs, outputs), its gradient fast in loops.

    In the body of a loop XLA's CPU compiler has a fast kernel for this layout alone, and the transpose of a convolution
    has another one: the gradient in x took 30 times as long. So its tangent is written in the layout whose transpose is
    this one.
    """

    def plain(x, w, kernel: str = "HWIO") -> jax.Array:
        axes: Any = options | {"dimension_numbers": ("NHWC", kernel, "NHWC")}
        return jax.lax.conv_general_dilated(x, w, strides, padding, **axes)

    @jax.custom_jvp
    def of(x, w) -> jax.Array:
        return plain(x, w)

    @partial(of.defjvp, symbolic_zeros=True)
    def _(primals, tangents) -> tuple[jax.Array, jax.Array]:
        (x, w), (dx, dw) = primals, tangents
        parts = [] if isinstance(dx, SymbolicZero) else [plain(dx, w.swapaxes(2, 3), "HWOI")]
        parts += [] if isinstance(dw, SymbolicZero) else [plain(x, dw)]
        return of(x, w), sum(parts[1:], parts[0])

    return of(x, w)


class Conv(nnx.Module):
    """Convolution that keeps the size of the image: (n, h, w, inputs) -> (n, h, w, outputs).

    `kernel` is odd per axis; `padding` per axis: `zero`, `replicate` (limited area) or `circular` (periodic).
    `gain` multiplies the Xavier-uniform initial weights. Parameters are float32, the arithmetic is in `dtype`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (3, 3),
        *,
        padding: tuple[Padding, Padding] = ("zero", "zero"),
        gain: float = 1.0,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        margins = [k // 2 for k in kernel]
        # zero padding is left to the convolution, which needs no padded copy for it
        rules: list[Padding] = ["zero" if m == 0 else rule for rule, m in zip(padding, margins, strict=True)]
        self.rules = tuple(rules)
        self.margins = tuple(margins)
        inside = tuple((m, m) if rule == "zero" else (0, 0) for rule, m in zip(rules, margins, strict=True))
        self.conv = nnx.Conv(
            inputs, outputs, kernel, padding=inside, kernel_init=xavier_uniform(gain), dtype=dtype, rngs=rngs,
            conv_general_dilated=convolve,
        )  # fmt: skip

    def __call__(self, x):
        """Pad and convolve."""
        for axis, (rule, margin) in enumerate(zip(self.rules, self.margins, strict=True), start=1):
            x = x if rule == "zero" else _grown(x, axis, margin, rule)
        return self.conv(x)


class GroupNorm(nnx.Module):
    """Group norm (Wu and He 2018) of (n, h, w, c) with min(32, c/4) groups, statistics in float32."""

    def __init__(self, channels: int, *, eps: float = 1e-6, dtype=jnp.float32):
        self.groups, self.eps, self.dtype = max(1, min(32, channels // 4)), eps, dtype
        while channels % self.groups:
            self.groups -= 1
        self.scale = nnx.Param(jnp.ones(channels))
        self.shift = nnx.Param(jnp.zeros(channels))

    def __call__(self, x):
        """Normalise."""
        n, h, w, c = x.shape
        x32 = x.astype(jnp.float32)
        # sums by channel first: one pass over the image along its contiguous axis, the groups on (n, c) only
        sums = jnp.stack([x32.sum((1, 2)), jnp.square(x32).sum((1, 2))])
        mean, square = sums.reshape(2, n, self.groups, -1).mean(-1) / (h * w)
        rsqrt = jax.lax.rsqrt(jnp.maximum(square - mean**2, 0.0) + self.eps)
        mean, rsqrt = (jnp.repeat(a, c // self.groups, -1) for a in (mean, rsqrt))
        scale = rsqrt * self.scale[...]
        shift = self.shift[...] - mean * scale
        return (x32 * scale[:, None, None] + shift[:, None, None]).astype(self.dtype)


def pad_replicate(x, size: tuple[int, int]):
    """Grow (n, h, w, c) to `size` at the lower and right border by repeating the last cells."""
    grow = [(0, 0), (0, size[0] - x.shape[1]), (0, size[1] - x.shape[2]), (0, 0)]
    return jnp.pad(x, grow, mode="edge") if any(b for _, b in grow) else x


BOX = (1, 1)
ZERO: tuple[Padding, Padding] = ("zero", "zero")


def downsample(x, taps: tuple[int, ...] = BOX, padding: tuple[Padding, Padding] = ZERO):
    """Halve (n, h, w, c) by a filter of even length; an axis of size 1 is kept; other sizes must be even.

    The box (1, 1) is the mean of 2x2 blocks, (1, 3, 3, 1) the filter of NCSN++, which looks beyond the border.
    """
    for axis, rule in zip((1, 2), padding, strict=True):
        if x.shape[axis] == 1:
            continue
        if taps == BOX:
            x = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :]).mean(axis + 1)
            continue
        wide, size = _grown(x, axis, len(taps) // 2 - 1, rule), x.shape[axis] // 2
        cuts = [jax.lax.slice_in_dim(wide, k, k + 2 * size - 1, 2, axis) for k in range(len(taps))]
        x = jnp.tensordot(jnp.asarray(taps, x.dtype) / sum(taps), jnp.stack(cuts), 1, precision="highest")
    return x


def upsample(x, size: tuple[int, int], taps: tuple[int, ...] = BOX, padding: tuple[Padding, Padding] = ZERO):
    """Double (n, h, w, c) and crop to `size`; an axis whose size is 1 in both is kept.

    The box repeats each cell twice, (1, 3, 3, 1) interpolates between their centres: the transpose of `downsample`,
    times 2 an axis.
    """
    for axis, target, rule in zip((1, 2), size, padding, strict=True):
        if target <= x.shape[axis]:
            continue
        if taps == BOX:
            x = jnp.repeat(x, 2, axis)
            continue
        half, size_now = len(taps) // 2, x.shape[axis]
        reach = half // 2
        wide, sides = _grown(x, axis, reach, rule), []
        for side in (0, 1):
            used = [k for k in range(len(taps)) if (side + half - 1 - k) % 2 == 0]
            first = [reach + (side + half - 1 - k) // 2 for k in used]
            cuts = [jax.lax.slice_in_dim(wide, f, f + size_now, axis=axis) for f in first]
            shares = jnp.array([2 * taps[k] / sum(taps) for k in used], x.dtype)
            sides.append(jnp.tensordot(shares, jnp.stack(cuts), 1, precision="highest"))
        x = jnp.stack(sides, axis + 1).reshape(*x.shape[:axis], 2 * size_now, *x.shape[axis + 1 :])
    return x[:, : size[0], : size[1]]


def _grown(x, axis: int, margin: int, rule: Padding):
    """x with `margin` more cells, at most its size, at both ends of an axis.

    `jnp.pad` makes several operations for each axis that stays as it is.
    """
    if rule == "zero":
        room = [(margin, margin, 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
        return jax.lax.pad(x, jnp.zeros((), x.dtype), room)
    size, cut = x.shape[axis], partial(jax.lax.slice_in_dim, x, axis=axis)
    if rule == "circular":
        return jax.lax.concatenate([cut(size - margin, size), x, cut(0, margin)], axis)
    return jax.lax.concatenate([*[cut(0, 1)] * margin, x, *[cut(size - 1, size)] * margin], axis)


def space_to_depth(x, patch: tuple[int, int]):
    """Fold patches into channels: (n, h, w, c) -> (n, h/p, w/q, p q c)."""
    (p, q), (n, h, w, c) = patch, x.shape
    x = x.reshape(n, h // p, p, w // q, q, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // p, w // q, p * q * c)


def depth_to_space(x, patch: tuple[int, int]):
    """The inverse of `space_to_depth`: (n, h, w, p q c) -> (n, h p, w q, c)."""
    (p, q), (n, h, w, c) = patch, x.shape
    x = x.reshape(n, h, w, p, q, c // (p * q))
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * p, w * q, c // (p * q))
