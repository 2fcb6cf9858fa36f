"""Layers of torch on images (n, h, w, c): weights are (out, in, ...), parameters nested by a checkpoint's names."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.nn import convolve

Array = jax.Array


def kernel(p: Any, dtype: Any) -> Array:
    """Weights (out, in, ...) as (p, q, in, out); of a convolution along a series, 1 x 1."""
    w = jnp.asarray(p["weight"], dtype)
    return w.reshape(*w.shape, *[1] * (4 - w.ndim)).transpose(2, 3, 1, 0)


def conv(p: Any, x: Array, stride: int = 1, padding: Any = None) -> Array:
    """Convolution that keeps the size, or with stride 2 halves it."""
    w = kernel(p, x.dtype)
    margin = w.shape[0] // 2
    y = convolve(x, w, (stride, stride), [(margin, margin)] * 2 if padding is None else padding)
    return y + p["bias"] if "bias" in p else y


def linear(p: Any, x: Array) -> Array:
    """W x + b of (..., inputs)."""
    y = x @ jnp.asarray(p["weight"]).T
    return y + p["bias"] if "bias" in p else y


def group_norm(p: Any, x: Array, groups: int, eps: float) -> Array:
    """Over the cells and the channels of a group."""
    n, h, w, c = x.shape
    g = x.reshape(n, h * w, groups, c // groups)
    mean, var = g.mean((1, 3), keepdims=True), g.var((1, 3), keepdims=True)
    return ((g - mean) * jax.lax.rsqrt(var + eps)).reshape(x.shape) * p["weight"] + p["bias"]


def attention(q: Array, k: Array, v: Array) -> Array:
    """Of (n, cells, heads, channels)."""
    scores = jnp.einsum("nqhc,nkhc->nhqk", q, k) * q.shape[-1] ** -0.5
    return jnp.einsum("nhqk,nkhc->nqhc", jax.nn.softmax(scores, -1), v)


def waves(t: Array, features: int, shift: float = 0.0) -> tuple[Array, Array]:
    """cos and sin of t (n,) at frequencies from 1 down to 1e-4, (n, features / 2) each."""
    half = features // 2
    angle = t[:, None] * jnp.asarray(1e4 ** -(np.arange(half) / (half - shift)), t.dtype)
    return jnp.cos(angle), jnp.sin(angle)


def doubled(x: Array) -> Array:
    """Each cell as 2 x 2."""
    return jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)


def halved(x: Array) -> Array:
    """Means of 2 x 2 cells."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))


def filtered(x: Array, taps: tuple[int, ...], up: bool) -> Array:
    """Doubled or halved by a filter, as in StyleGAN: (h, w) times two or over two."""
    pad = (len(taps) - 1) // 2
    if up:  # the transpose of a convolution with stride 2
        margin = [(len(taps) - 1 - pad, len(taps) - 1 - pad)] * 2
        return each_channel(x, 4 * square(taps), (1, 1), margin, lhs_dilation=(2, 2))
    return each_channel(x, square(taps), (2, 2), [(pad, pad)] * 2)


def square(taps: tuple[int, ...]) -> np.ndarray:
    """The filter of images whose sum is 1, (n, n)."""
    return np.outer(taps, taps) / sum(taps) ** 2


def each_channel(x: Array, filter: np.ndarray, strides: Any, padding: Any, **options: Any) -> Array:
    """Convolution of every channel with one filter (p, q)."""
    w = jnp.tile(jnp.asarray(filter, x.dtype)[..., None, None], (1, 1, 1, x.shape[-1]))
    return convolve(x, w, strides, padding, feature_group_count=x.shape[-1], **options)


def nested(arrays: dict[str, Any]) -> dict[str, Any]:
    """Parameters by the parts of their names: {"a.b.weight": w} is {"a": {"b": {"weight": w}}}.

    Raises `ValueError` for an array whose name begins that of another.
    """
    tree: dict[str, Any] = {}
    for name, value in sorted(arrays.items()):
        place = tree
        *path, last = name.split(".")
        for i, part in enumerate(path):
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ValueError(f"{'.'.join(path[: i + 1])} is an array, and {name} a part of it")
        place[last] = value
    return tree
