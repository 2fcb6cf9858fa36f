"""Prototypes from the files of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from genkit.errors import DataError, UsageError
from genkit.model import torch_file

LAST = ("last_layer.weight_v", "last_layer.parametrizations.weight.original1", "last_layer.weight", "prototypes.weight",
        "prototypes")  # fmt: skip
GAINS = {"last_layer.weight_v": "last_layer.weight_g",
         "last_layer.parametrizations.weight.original1": "last_layer.parametrizations.weight.original0"}  # fmt: skip

NETWORKS = {"teacher", "student"}


def read_prototypes(path: str | Path, which: str = "teacher") -> np.ndarray:
    """Prototypes (K, b) float32 of a file.

    `.npy` is the array; `.npz` and `.safetensors` have one array, or one named as in a checkpoint. `.pth` and `.pt` are
    a tensor or a checkpoint of the DINO family, read by torch without running code (`weights_only`). `which` is the
    network, teacher or student, where a file has both.
    With weight norm w = g v / |v| (weight_g, weight_v).
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path} is no file; give .npy, .npz, .safetensors or .pth")
    if path.suffix not in _READERS:
        raise UsageError(f"{path}: unknown ending {path.suffix!r}; known: {', '.join(_READERS)}")
    try:
        w = _READERS[path.suffix](path, which)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if w.ndim != 2:
        raise DataError(f"{path}: prototypes have shape {w.shape}; expected (K, b)")
    return np.ascontiguousarray(w, np.float32)


def prototypes_of(tensors: Mapping[str, np.ndarray], source: Any) -> np.ndarray:
    """The prototypes among named arrays: those of the last layer of a head, else the only array there is.

    Names may have prefixes, as `module.` and `head.`; of several heads the one of whole images is taken.
    """
    for name in LAST:
        heads = [key for key in tensors if key == name or key.endswith("." + name)]
        if heads:
            key = min(heads, key=lambda k: (any(word in k for word in ("ibot", "patch", "last_layer2")), k))
            v = np.asarray(tensors[key], np.float32)
            if name not in GAINS:
                return v
            of = key.removesuffix(name) + GAINS[name]
            if of not in tensors:
                raise DataError(f"{source} has {key} without its gain; expected {of} beside it")
            return np.asarray(tensors[of], np.float32) * v / np.linalg.norm(v, axis=1, keepdims=True)
    if len(tensors) == 1:
        return np.asarray(next(iter(tensors.values())))
    raise DataError(f"{source} has no prototypes: none of its {len(tensors)} arrays is named {', '.join(LAST[:3])}")


def _npy(path: Path, which: str) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _npz(path: Path, which: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return prototypes_of(network_of(dict(file), which, path), path)


def _safetensors(path: Path, which: str) -> np.ndarray:
    from safetensors.numpy import load_file

    return prototypes_of(network_of(load_file(path), which, path), path)


def _torch(path: Path, which: str) -> np.ndarray:
    return prototypes_of({k: v.float().numpy() for k, v in network_of(torch_file(path), which, path).items()}, path)


def network_of(checkpoint: Any, which: str, source: Any) -> dict[str, Any]:
    """The tensors of one network of a checkpoint: its entry `which`, those with `which` in their names, or all."""
    if hasattr(checkpoint, "shape"):
        return {"prototypes": checkpoint}
    if not isinstance(checkpoint, Mapping):
        raise DataError(f"{source} holds a {type(checkpoint).__name__}; expected a tensor, or tensors by name")
    nested = {k: v for k, v in checkpoint.items() if isinstance(v, Mapping)}
    checkpoint = nested.get(which, nested.get("model", checkpoint))
    tensors = {k: v for k, v in checkpoint.items() if hasattr(v, "shape")}
    if any(NETWORKS & set(name.split(".")) for name in tensors):  # dinov2 keeps both in one
        tensors = {name: v for name, v in tensors.items() if which in name.split(".")}
    if not tensors:
        raise DataError(f"{source} has no network {which!r}; its entries are {', '.join(map(str, checkpoint))}")
    return tensors


_READERS = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".pth": _torch, ".pt": _torch}
