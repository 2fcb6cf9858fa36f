"""Files of Neural-LAM: the weights with how messages pass, and the statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from genkit.errors import DataError
from genkit.model import read_checkpoint, torch_file

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
        return cls(*read_checkpoint(path))

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
