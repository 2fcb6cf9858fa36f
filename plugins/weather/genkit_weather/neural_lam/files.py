"""Files of Neural-LAM: the weights with how messages pass, and the statistics."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from genkit.errors import DataError

TYPES = {"g2m": "g2m_gnn_type", "m2g": "m2g_gnn_type", "up": "mesh_up_gnn_type", "down": "mesh_down_gnn_type"}
NETS = {"InteractionNet": False, "PropagationNet": True}
MOMENTS = ("parameter_mean", "parameter_std", "diff_mean", "diff_std")
STATISTICS = (*MOMENTS, "flux_stats", "grid_features", "forcing_mean", "forcing_std")


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name, and what else the file tells."""

    state: dict[str, np.ndarray]
    told: dict[str, str]
    """hyper-parameters"""

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """A checkpoint (.ckpt, .pt, .pth), or its state_dict as .safetensors or .npz; no code of it runs."""
        try:
            if path.suffix == ".safetensors":
                with safetensors.safe_open(path, "numpy") as file:
                    return cls({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as file:
                    every = dict(file)
                texts = {name: str(a) for name, a in every.items() if a.dtype.kind == "U"}
                return cls({name: a for name, a in every.items() if name not in texts}, texts)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
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
        return cls(arrays, {name: str(value) for name, value in told.items()})

    def content(self) -> bytes:
        """As .safetensors."""
        return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in self.state.items()}, self.told)

    def propagate(self) -> tuple[str, ...] | None:
        """Edges on which propagation networks pass messages; None where the file does not tell."""
        known = {edges: self.told[name] for edges, name in TYPES.items() if name in self.told}
        for edges, net in known.items():
            if net not in NETS:
                raise DataError(f"{TYPES[edges]} is {net!r}; expected one of {', '.join(NETS)}")
        return tuple(edges for edges, net in known.items() if NETS[net]) if known else None


def told_of(propagate: tuple[str, ...]) -> dict[str, str]:
    """How messages pass, as hyper-parameters."""
    return {name: "PropagationNet" if edges in propagate else "InteractionNet" for edges, name in TYPES.items()}


def read_statistics(path: Path) -> dict[str, np.ndarray]:
    """The folder static/ of a MEPS-like data set (.pt or .npy files), or one .npz of these names."""
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            found = dict(file)
    else:
        found = {}
        for name in STATISTICS:
            if (file := path / f"{name}.npy").is_file():
                found[name] = np.load(file, allow_pickle=False)
            elif (file := path / f"{name}.pt").is_file():
                found[name] = torch_file(file).float().numpy()
    if missing := [name for name in MOMENTS if name not in found]:
        raise DataError(f"{path} has no {missing[0]}; expected {', '.join(STATISTICS)}")
    return {name: np.asarray(found[name], np.float32) for name in STATISTICS if name in found}


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
