"""Weights of other packages by name: checkpoints of torch, .safetensors, .npz."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors

from genkit.errors import DataError


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Weights by name and hyper-parameters as text, of a checkpoint (.ckpt, .pt, .pth) or a state_dict of these,
    .safetensors or .npz. No code of it runs. Raises `DataError`."""
    try:
        if path.suffix == ".safetensors":
            with safetensors.safe_open(path, "numpy") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                every = dict(file)
            texts = {name: str(a) for name, a in every.items() if a.dtype.kind == "U"}
            return {name: a for name, a in every.items() if name not in texts}, texts
    except (OSError, ValueError, EOFError, TypeError, BadZipFile, safetensors.SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if path.suffix not in (".ckpt", ".pt", ".pth"):
        raise DataError(f"{path}: expected a checkpoint that ends in .ckpt, .pt, .pth, .safetensors or .npz")
    found = torch_file(path)
    if not isinstance(found, Mapping):
        raise DataError(f"{path} holds a {type(found).__name__}, no state_dict")
    told = found.get("hyper_parameters", {})
    told = told.get("args", told) if isinstance(told, Mapping) else told
    told = told if isinstance(told, Mapping) else vars(told)
    state = found.get("state_dict", found)
    arrays = {name: v.float().numpy() for name, v in state.items() if hasattr(v, "numpy")}
    return arrays, {name: str(value) for name, value in told.items()}


def torch_file(path: Path) -> Any:
    """A file of torch, read without running code of it."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise DataError(f"{path} is a file of torch; pip install torch, or save it as .safetensors or .npz") from None
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes
        raise DataError(f"{path} cannot be read without running code: {str(error).splitlines()[0]}") from None
