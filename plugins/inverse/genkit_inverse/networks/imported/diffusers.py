"""UNet2DModel of diffusers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit_inverse.networks.imported.layers import attention, conv, doubled, group_norm, linear, waves

Array = jax.Array


@dataclass(frozen=True)
class UNet2D:
    """diffusers' UNet2DModel of Down, AttnDown, Up and AttnUp blocks with positional time.

    Called as (params, x (n, h, w, c), t (n,) from 0 to 999, None): without classes.
    """

    groups: int = 32
    """of the norms"""
    eps: float = 1e-5
    """of the norms"""
    head_channels: int = 8
    """channels of an attention head; 0 for one head"""
    flipped: bool = True
    """flip_sin_to_cos"""
    shift: float = 0.0
    """freq_shift"""
    centred: bool = False
    """center_input_sample"""
    padded: bool = True
    """downsample_padding 1; else a row and a column of zeros at the end"""
    scaled: bool = False
    """resnet_time_scale_shift is scale_shift"""
    middle_scale: float = 1.0
    """mid_block_scale_factor"""

    def __call__(self, params: Any, x: Array, t: Array, cond: Any = None) -> Array:
        """What the model predicts, (n, h, w, channels out)."""
        x = 2 * x - 1 if self.centred else x
        cos, sin = waves(t.astype(x.dtype), params["time_embedding"]["linear_1"]["weight"].shape[1], self.shift)
        emb = jnp.concatenate([cos, sin] if self.flipped else [sin, cos], -1)
        time = params["time_embedding"]
        emb = linear(time["linear_2"], jax.nn.silu(linear(time["linear_1"], emb)))
        x = conv(params["conv_in"], x)
        skips = [x]
        for block in _listed(params["down_blocks"]):
            for p, attend in _layers(block):
                x = self._block(p, x, emb)
                x = x if attend is None else self._attend(attend, x)
                skips.append(x)
            if "downsamplers" in block:
                pads = [(1, 1)] * 2 if self.padded else [(0, 1)] * 2
                x = conv(block["downsamplers"]["0"]["conv"], x, 2, pads)
                skips.append(x)
        first, *rest = _listed(params["mid_block"]["resnets"])
        x = self._block(first, x, emb, self.middle_scale)
        attends = _listed(params["mid_block"].get("attentions", {})) or [None] * len(rest)
        for p, attend in zip(rest, attends, strict=True):
            x = x if attend is None else self._attend(attend, x, self.middle_scale)
            x = self._block(p, x, emb, self.middle_scale)
        for block in _listed(params["up_blocks"]):
            for p, attend in _layers(block):
                x = self._block(p, jnp.concatenate([x, skips.pop()], -1), emb)
                x = x if attend is None else self._attend(attend, x)
            if "upsamplers" in block:
                x = conv(block["upsamplers"]["0"]["conv"], doubled(x))
        return conv(params["conv_out"], jax.nn.silu(self._norm(params["conv_norm_out"], x)))

    def _norm(self, p: Any, x: Array) -> Array:
        return group_norm(p, x, self.groups, self.eps)

    def _block(self, p: Any, x: Array, emb: Array, scale: float = 1.0) -> Array:
        h = conv(p["conv1"], jax.nn.silu(self._norm(p["norm1"], x)))
        told = linear(p["time_emb_proj"], jax.nn.silu(emb))[:, None, None]
        if self.scaled:
            by, shift = jnp.split(told, 2, -1)
            h = self._norm(p["norm2"], h) * (1 + by) + shift
        else:
            h = self._norm(p["norm2"], h + told)
        h = conv(p["conv2"], jax.nn.silu(h))
        return (h + (conv(p["conv_shortcut"], x) if "conv_shortcut" in p else x)) / scale

    def _attend(self, p: Any, x: Array, scale: float = 1.0) -> Array:
        n, h, w, c = x.shape
        heads = c // self.head_channels if self.head_channels else 1
        normed = self._norm(p["group_norm"], x)
        names = ("to_q", "to_k", "to_v") if "to_q" in p else ("query", "key", "value")
        q, k, v = (_map(p[name], normed).reshape(n, h * w, heads, c // heads) for name in names)
        out = p["to_out"]["0"] if "to_out" in p else p["proj_attn"]
        return (_map(out, attention(q, k, v).reshape(x.shape)) + x) / scale


def _map(p: Any, x: Array) -> Array:
    """A linear map of channels, kept as a matrix or as a convolution of 1 x 1."""
    return conv(p, x) if jnp.ndim(p["weight"]) > 2 else linear(p, x)


def _listed(parts: Any) -> list[Any]:
    return [parts[str(i)] for i in range(len(parts))]


def _layers(block: Any) -> list[tuple[Any, Any]]:
    resnets = _listed(block["resnets"])
    return list(zip(resnets, _listed(block.get("attentions", {})) or [None] * len(resnets), strict=True))
