"""Weights of vision transformers from elsewhere: of timm, DINO, DINOv2 and transformers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit.nn import Net
from genkit_representations.networks.vit import ViT
from genkit_representations.prototypes import read_network

SIZES = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}  # width: heads, of published transformers
TRANSFORMERS = (  # names of transformers' models as those of timm
    (r"^(vit|dinov2|model)\.", ""),
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.mask_token", "mask_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"encoder\.layer\.", "blocks."),
    (r"attention\.attention\.(query|key|value)", r"attn.\1"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"(blocks\.\d+)\.output\.dense", r"\1.mlp.fc2"),
    (r"layer_scale1\.lambda1", "ls1.gamma"),
    (r"layer_scale2\.lambda1", "ls2.gamma"),
    (r"^layernorm\.", "norm."),
)


def read_vit(path: str | Path, heads: int | None = None) -> tuple[Net, dict[str, Any]]:
    """A vision transformer and its parameters from a file of `read_network`, the teacher's of two; see `import_vit`."""
    return import_vit(read_network(path), heads)


def import_vit(tensors: Mapping[str, np.ndarray], heads: int | None = None) -> tuple[Net, dict[str, Any]]:
    """`net, params`: `net(params, images)` are the features (n, width) and those of the patches.

    Sizes are those of the arrays; `heads` are not told by them and guessed from the width where they are not given.
    Linear maps (out, in) are transposed, the patch convolution (out, in, h, w) becomes a matrix, query, key and value
    are joined where they are apart. Registers and layer scale are taken where there are some; positions without one for
    the class token have it in the token. Raises DataError where an array is missing, or has no place in this network.
    """
    named = {_renamed(k): np.asarray(v, np.float32) for k, v in tensors.items()}
    used: set[str] = set()

    def get(name: str) -> np.ndarray:
        if name not in named:
            raise DataError(f"the weights of a vision transformer lack {name!r}; there are {len(named)} others")
        used.add(name)
        return named[name]

    conv = get("patch_embed.proj.weight")
    width, channels, patch, _ = conv.shape
    depth = 1 + max((int(m[1]) for k in named if (m := re.match(r"blocks\.(\d+)\.", k))), default=-1)
    position = get("pos_embed").reshape(-1, width)
    side = math.isqrt(len(position))
    if side * side == len(position):
        position = np.concatenate([np.zeros_like(position[:1]), position])
    if side * side != len(position) - 1:
        raise DataError(f"positions of {len(position) - 1} patches are no square image")
    registers = next((named[k] for k in ("reg_token", "register_tokens") if k in named), None)
    scaled = "blocks.0.ls1.gamma" in named
    heads = heads or SIZES.get(width)
    if heads is None:
        raise DataError(f"a transformer of width {width} has an unknown number of heads; give it")
    ratio = get("blocks.0.mlp.fc1.bias").size / width
    count = 0 if registers is None else registers.reshape(-1, width).shape[0]
    vit = ViT(patch, width, depth, heads, ratio, count, 1e-5 if scaled else None, drop_path=0.0)
    layers = [_block(get, named, f"blocks.{i}.", scaled) for i in range(depth)]
    params = {
        "embed": {"kernel": conv.transpose(2, 3, 1, 0).reshape(-1, width), "bias": get("patch_embed.proj.bias")},
        "token": get("cls_token").reshape(1, width),
        "position": position,
        "masked": named.get("mask_token", np.zeros(width, np.float32)).reshape(width),
        "norm": {"scale": get("norm.weight"), "bias": get("norm.bias")},
        "blocks": _stacked(layers),
    }
    if registers is not None:
        params["registers"] = registers.reshape(-1, width)
    if rest := [name for name in named if name not in used and re.match("blocks|patch_embed|norm", name)]:
        raise DataError(f"a vision transformer of this kind has no place for {', '.join(rest[:3])} of the weights")
    return Net(vit, ((side * patch, side * patch, channels),)), params


def _block(get: Any, named: Mapping[str, np.ndarray], at: str, scaled: bool) -> dict[str, Any]:
    def linear(name: str) -> dict[str, np.ndarray]:
        return {"kernel": get(f"{at}{name}.weight").T, "bias": get(f"{at}{name}.bias")}

    if f"{at}attn.qkv.weight" in named:
        qkv = linear("attn.qkv")
    else:
        parts = [linear(f"attn.{name}") for name in ("query", "key", "value")]
        qkv = {name: np.concatenate([part[name] for part in parts], -1) for name in ("kernel", "bias")}
    norms = {i: {"scale": get(f"{at}norm{i + 1}.weight"), "bias": get(f"{at}norm{i + 1}.bias")} for i in (0, 1)}
    found = {"norms": norms, "qkv": qkv, "out": linear("attn.proj"), "up": linear("mlp.fc1"), "down": linear("mlp.fc2")}
    return found | ({"scales": np.stack([get(f"{at}ls{i}.gamma") for i in (1, 2)])} if scaled else {})


def _stacked(layers: list[Any]) -> Any:
    if isinstance(layers[0], dict):
        return {key: _stacked([layer[key] for layer in layers]) for key in layers[0]}
    return np.stack(layers)


def _renamed(name: str) -> str:
    name = re.sub(r"^((module|backbone|teacher|student)\.)+", "", name)
    for pattern, to in TRANSFORMERS:
        name = re.sub(pattern, to, name)
    return name
