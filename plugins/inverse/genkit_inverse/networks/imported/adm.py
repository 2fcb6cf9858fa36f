"""ADM, the U-Net of guided-diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit_inverse.networks.imported.layers import attention, conv, doubled, group_norm, halved, linear, waves

Array = jax.Array


@dataclass(frozen=True)
class ADM:
    """The U-Net of openai/guided-diffusion (Dhariwal and Nichol 2021, arXiv 2105.05233); predicts the noise.

    Called as (params, x (n, h, w, c), t (n,) from 0 to 999, None): without classes. What it says of the variance
    (`learn_sigma`) is left out.
    """

    levels: int
    """of resolution"""
    blocks: int
    """residual blocks a level"""
    heads: int = 0
    """attention heads, or 0 for as many as have `head_channels`"""
    head_channels: int = 64
    """channels of a head"""
    new_order: bool = False
    """use_new_attention_order: q, k and v are split before the heads"""

    def __call__(self, params: Any, x: Array, t: Array, cond: Any = None) -> Array:
        """The noise, (n, h, w, c)."""
        channels, width = x.shape[-1], params["time_embed"]["0"]["weight"].shape[1]
        emb = jnp.concatenate(waves(t.astype(x.dtype), width), -1)
        emb = linear(params["time_embed"]["2"], jax.nn.silu(linear(params["time_embed"]["0"], emb)))
        skips = []
        for i in range(len(params["input_blocks"])):
            down = i > 0 and i % (self.blocks + 1) == 0
            x = self._part(params["input_blocks"][str(i)], x, emb, halved if down else None)
            skips.append(x)
        x = self._part(params["middle_block"], x, emb, None)
        for i in range(len(params["output_blocks"])):
            up = (i + 1) % (self.blocks + 1) == 0 and i + 1 < len(params["output_blocks"])
            both = jnp.concatenate([x, skips.pop()], -1)
            x = self._part(params["output_blocks"][str(i)], both, emb, doubled if up else None)
        x = jax.nn.silu(group_norm(params["out"]["0"], x, 32, 1e-5))
        return conv(params["out"]["2"], x)[..., :channels]

    def _part(self, part: Any, x: Array, emb: Array, size: Any) -> Array:
        """The layers of a block; the last one halves or doubles, by itself where it is no residual block."""
        for i in range(len(part)):
            p = part[str(i)]
            if "op" in p:
                x = conv(p["op"], x, 2)
            elif "conv" in p:
                x = conv(p["conv"], doubled(x))
            elif "qkv" in p:
                x = self._attend(p, x)
            elif "in_layers" in p:
                resizes = size is not None and (size is halved or (i == len(part) - 1 and i > 0))
                x = self._block(p, x, emb, size if resizes else None)
            else:
                x = conv(p, x)
        return x

    def _block(self, p: Any, x: Array, emb: Array, size: Any) -> Array:
        h = jax.nn.silu(group_norm(p["in_layers"]["0"], x, 32, 1e-5))
        if size is not None:
            h, x = size(h), size(x)
        h = conv(p["in_layers"]["2"], h)
        told = linear(p["emb_layers"]["1"], jax.nn.silu(emb))[:, None, None]
        norm = p["out_layers"]["0"]
        if told.shape[-1] == 2 * h.shape[-1]:
            scale, shift = jnp.split(told, 2, -1)
            h = group_norm(norm, h, 32, 1e-5) * (1 + scale) + shift
        else:
            h = group_norm(norm, h + told, 32, 1e-5)
        h = conv(p["out_layers"]["3"], jax.nn.silu(h))
        return h + (conv(p["skip_connection"], x) if "skip_connection" in p else x)

    def _attend(self, p: Any, x: Array) -> Array:
        n, h, w, c = x.shape
        heads = self.heads or c // self.head_channels
        qkv = conv(p["qkv"], group_norm(p["norm"], x, 32, 1e-5)).reshape(n, h * w, -1)
        if self.new_order:
            qkv = qkv.reshape(n, h * w, 3, heads, c // heads)
        else:
            qkv = qkv.reshape(n, h * w, heads, 3, c // heads).swapaxes(2, 3)
        mixed = attention(*(qkv[:, :, i] for i in range(3))).reshape(x.shape)
        return x + conv(p["proj_out"], mixed)
