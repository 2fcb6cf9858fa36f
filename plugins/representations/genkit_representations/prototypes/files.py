"""Prototypes from the files of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from genkit.errors import DataError, UsageError
from genkit.model import torch_file

LAST = ("last_layer.weight_v", "last_layer.parametrizations.weight.original1", "last_layer.weight", "prototypes.weight",
        "prototypes")  # fmt: skip
GAINS = {"last_layer.weight_v": "last_layer.weight_g",
         "last_layer.parametrizations.weight.original1": "last_layer.parametrizations.weight.original0"}  # fmt: skip

NETWORKS = {"teacher", "student"}


def read_prototypes(path: str | Path, which: str = "teacher") -> np.ndarray:
    """Prototypes (K, b) float32 of a file.

    `.npy` is the array; the other files of `read_network` have one array, or one named as in a checkpoint of the DINO
    family. With weight norm w = g v / |v| (weight_g, weight_v).
    """
    path = Path(path)
    if path.suffix == ".npy":
        w = _opened(path, lambda: np.load(path, allow_pickle=False))
    else:
        w = prototypes_of(read_network(path, which), path)
    if w.ndim != 2:
        raise DataError(f"{path}: prototypes have shape {w.shape}; expected (K, b)")
    return np.ascontiguousarray(w, np.float32)


def read_network(path: str | Path, which: str = "teacher") -> dict[str, np.ndarray]:
    """The named arrays of a network in an `.npz`, a `.safetensors`, or a `.pth` or `.pt` file.

    Those of torch are a tensor or a checkpoint, read by torch without running code (`weights_only`). `which` is the
    network, teacher or student, where a file has both.
    """
    path = Path(path)
    if path.suffix not in _READERS:
        raise UsageError(f"{path}: unknown ending {path.suffix!r}; known: .npy, {', '.join(_READERS)}")
    found = network_of(_opened(path, lambda: _READERS[path.suffix](path)), which, path)
    return {name: a.detach().float().numpy() if hasattr(a, "detach") else a for name, a in found.items()}


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


def _opened(path: Path, read: Callable[[], Any]) -> Any:
    if not path.is_file():
        raise UsageError(f"{path} is no file; give .npy, {', '.join(_READERS)}")
    try:
        return read()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


_READERS = {".npz": _npz, ".safetensors": load_file, ".pth": torch_file, ".pt": torch_file}
