"""The U-Nets of EDM's code: DDPM++ and NCSN++ (Song et al. 2021), and ADM in its form there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.nn import convolve
from genkit_inverse.networks.imported.layers import (
    attention,
    conv,
    each_channel,
    filtered,
    group_norm,
    kernel,
    linear,
    square,
    waves,
)

Array = jax.Array


@dataclass(frozen=True)
class EDMUNet:
    """SongUNet and DhariwalUNet of NVlabs/edm (Karras et al. 2022, arXiv 2206.00364); F of its preconditioning.

    Called as (params, x (n, h, w, c), c_noise (n,), None): without classes.
    """

    resolution: int
    """rows of the images that it was trained on"""
    multipliers: int
    """levels"""
    blocks: int
    """residual blocks a level"""
    dhariwal: bool
    """whether it is ADM's: scales by the embedding, a norm and a convolution at the end"""
    taps: tuple[int, ...] = (1, 1)
    """of the filter that halves and doubles"""

    def __call__(self, params: Any, x: Array, noise: Array, cond: Any = None) -> Array:
        """F, (n, h, w, c)."""
        emb = self._embedding(params, noise.astype(x.dtype))
        skips: list[Array] = []
        image = x
        for name, p in self._ordered(params["enc"], False):
            if name.endswith("aux_residual"):
                image = filtered_conv(p, image, self.taps)
                x = skips[-1] = image = (x + image) * 0.5**0.5
            elif name.endswith("aux_down"):
                image = filtered(image, self.taps, up=False)
            elif name.endswith("aux_skip"):
                x = skips[-1] = x + conv(p, image)
            else:
                x = conv(p, x) if name.endswith("_conv") else self._block(p, x, emb, down=name.endswith("_down"))
                skips.append(x)
        out, normed = None, x
        for name, p in self._ordered(params["dec"], True):
            if name.endswith("aux_up"):
                out = None if out is None else filtered(out, self.taps, up=True)
            elif name.endswith("aux_norm"):
                normed = _norm(p, x, 1e-6)
            elif name.endswith("aux_conv"):
                more = conv(p, jax.nn.silu(normed))
                out = more if out is None else out + more
            else:
                if x.shape[-1] != len(p["norm0"]["weight"]):
                    x = jnp.concatenate([x, skips.pop()], -1)
                x = self._block(p, x, emb, up=name.endswith("_up"))
        if self.dhariwal:
            return conv(params["out_conv"], jax.nn.silu(_norm(params["out_norm"], x, 1e-5)))
        assert out is not None
        return out

    def _embedding(self, params: Any, noise: Array) -> Array:
        silu = jax.nn.silu
        if "map_noise" in params:
            angle = noise[:, None] * (2 * jnp.pi * params["map_noise"]["freqs"])
            cos, sin = jnp.cos(angle), jnp.sin(angle)
        else:
            cos, sin = waves(noise, params["map_layer0"]["weight"].shape[1], 0.0 if self.dhariwal else 1.0)
        emb = jnp.concatenate([cos, sin] if self.dhariwal else [sin, cos], -1)
        if self.dhariwal:
            emb = linear(params["map_layer1"], silu(linear(params["map_layer0"], emb)))
            return silu(emb)
        return silu(linear(params["map_layer1"], silu(linear(params["map_layer0"], emb))))

    def _block(self, p: Any, x: Array, emb: Array, up: bool = False, down: bool = False) -> Array:
        eps, scale = (1e-5, 1.0) if self.dhariwal else (1e-6, 0.5**0.5)

        def size(a: Array) -> Array:
            return filtered(a, self.taps, up) if up or down else a

        h = jax.nn.silu(_norm(p["norm0"], x, eps))
        h = conv(p["conv0"], size(h))
        told = linear(p["affine"], emb)[:, None, None]
        if self.dhariwal:
            by, shift = jnp.split(told, 2, -1)
            h = _norm(p["norm1"], h, eps) * (by + 1) + shift
        else:
            h = _norm(p["norm1"], h + told, eps)
        h = conv(p["conv1"], jax.nn.silu(h))
        rest = size(x)
        x = (h + (conv(p["skip"], rest) if "weight" in p.get("skip", {}) else rest)) * scale
        if "qkv" not in p:
            return x
        n, rows, columns, c = x.shape
        heads = c // 64 if self.dhariwal else 1
        qkv = conv(p["qkv"], _norm(p["norm2"], x, eps)).reshape(n, rows * columns, heads, c // heads, 3)
        mixed = attention(*(qkv[..., i] for i in range(3))).reshape(x.shape)
        return (conv(p["proj"], mixed) + x) * scale

    def _ordered(self, blocks: Any, decoder: bool) -> list[tuple[str, Any]]:
        """In the order in which they are called."""
        names: list[str] = []
        levels = range(self.multipliers)
        for level in reversed(levels) if decoder else levels:
            at = f"{self.resolution >> level}x{self.resolution >> level}"
            first = ("in0", "in1", "up") if decoder else ("conv", "down", "aux_down", "aux_skip", "aux_residual")
            names += [f"{at}_{one}" for one in first]
            names += [f"{at}_block{i}" for i in range(self.blocks + decoder)]
            names += [f"{at}_{one}" for one in ("aux_up", "aux_norm", "aux_conv")] if decoder else []
        return [(name, blocks.get(name, {})) for name in names if name in blocks or self._bare(name, blocks)]

    def _bare(self, name: str, blocks: Any) -> bool:
        """Whether a layer without parameters stands there: those that resize the image beside the network."""
        at, _, what = name.partition("_")
        low = f"{self.resolution >> (self.multipliers - 1)}x"
        return (what == "aux_down" and f"{at}_aux_skip" in blocks) or (
            what == "aux_up" and f"{at}_aux_conv" in blocks and not at.startswith(low)
        )


def filtered_conv(p: Any, x: Array, taps: tuple[int, ...]) -> Array:
    """A convolution of the halved image, with the filter after the weights in one go, as EDM's `fused_resample`."""
    w = kernel(p, x.dtype)
    margin = w.shape[0] // 2 + (len(taps) - 1) // 2
    out = each_channel(convolve(x, w, (1, 1), [(margin, margin)] * 2), square(taps), (2, 2), [(0, 0)] * 2)
    return out + p["bias"] if "bias" in p else out


def _norm(p: Any, x: Array, eps: float) -> Array:
    return group_norm(p, x, min(32, x.shape[-1] // 4), eps)
