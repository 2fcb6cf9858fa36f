"""Graphs and weights of Neural-LAM (torch) for the networks of this plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genkit.errors import DataError
from genkit_weather.graphs import Graph, from_arrays, normalised

PREFIX = re.compile(r"^(model\.|predictor\.|forecaster\.|_orig_mod\.)+")


def import_neural_lam_graph(
    arrays: Mapping[str, Any],
    *,
    nodes: int | None = None,
    span: float = 1.0,
    scaled: bool = False,
    negate: bool = False,
) -> Graph:
    """The graph of Neural-LAM's arrays, normalised as its networks are given it.

    Args:
        arrays: `g2m_edge_index` (2, E), `g2m_features` (E, 3), `m2g_*`, and lists by level `m2m_edge_index`,
            `m2m_features`, `mesh_features`, `mesh_up_*`, `mesh_down_*` (or `m2m_edge_index/0`, ...); every set of
            nodes numbered from zero.
        nodes: grid nodes; else the largest number found.
        span: what places of mesh nodes are divided by, the longer side of the grid.
        scaled: the features have been divided already.
        negate: the components of the edge features are receiver minus sender.

    The grid is whole: cut it by `graphs.limited` into the nodes that are forecast and the frame.
    """
    graph = from_arrays(dict(arrays), nodes=nodes, negate=negate, meta={"span": span}, source="Neural-LAM graph")
    return graph if scaled else normalised(graph)


def import_neural_lam_weights(params: Any, state: Mapping[str, Any]) -> Any:
    """Parameters of a network of this plugin with the values of a Neural-LAM `state_dict`.

    Takes the weights of Graph-LAM, Hi-LAM and Hi-LAM-Parallel: the network is built with `shared_embedder=True` and
    the same sizes. Entries that are no weights (statistics, features of the graph) are left out.

    Args:
        params: parameters of such a network, as `genkit.nn.functional` gives them; only shapes are used.
        state: name -> array (or torch tensor), as `grid_embedder.0.weight`, `g2m_gnn.edge_mlp.0.weight`,
            `processor.module_0.edge_mlp.0.weight`.

    Raises:
        DataError: a weight is missing, has another shape, or belongs to no layer of the network.
    """
    given = {PREFIX.sub("", name): value for name, value in state.items() if name.endswith((".weight", ".bias"))}
    used: set[str] = set()

    def value(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        name = torch_name(tuple(getattr(p, "key", getattr(p, "idx", None)) for p in path), params)
        if name not in given:
            raise DataError(f"the state_dict has no {name}; the network has more layers or other options than it")
        used.add(name)
        found = given[name]
        array = np.asarray(found.detach().cpu() if hasattr(found, "detach") else found, np.float32)
        array = array.T if array.ndim == 2 else array
        if array.shape != leaf.shape:
            raise DataError(
                f"{name} has shape {array.shape[::-1]}, the network needs {leaf.shape[::-1]}; its sizes differ"
            )
        return array

    loaded = jax.tree_util.tree_map_with_path(value, params)
    if left := sorted(set(given) - used):
        raise DataError(f"{len(left)} weights belong to no layer of the network, the first is {left[0]}")
    return jax.tree.map(jax.numpy.asarray, loaded)


def export_neural_lam_weights(params: Any) -> dict[str, np.ndarray]:
    """The inverse of `import_neural_lam_weights`: a `state_dict` of arrays."""

    def of(path: tuple[Any, ...], leaf: Any) -> tuple[str, np.ndarray]:
        array = np.asarray(leaf, np.float32)
        name = torch_name(tuple(getattr(p, "key", getattr(p, "idx", None)) for p in path), params)
        return name, array.T if array.ndim == 2 else array

    return dict(of(path, leaf) for path, leaf in jax.tree.leaves_with_path(params))


def torch_name(path: tuple[Any, ...], params: Any) -> str:
    """Neural-LAM's name of a parameter of this plugin, as ("g2m_gnn", "edge_mlp", "layers", 0, "kernel")."""
    *layer, kind = path
    parameter = "weight" if kind in ("kernel", "scale") else "bias"
    if layer[-1] == "norm":  # follows the last linear layer
        owner = params
        for step in layer[:-1]:
            owner = owner[step]
        *mlp, position = *layer[:-1], 2 * len(owner["layers"]) - 1
    else:  # an activation lies between two linear layers
        *mlp, _, number = layer
        position = 2 * int(number)
    return ".".join([*_renamed(mlp), str(position), parameter])


def _renamed(mlp: list[Any]) -> list[str]:
    """Path of a perceptron, with the names of the other package where they differ."""
    parts = [str(part) for part in mlp]
    if parts[0] == "processor":
        parts[:2] = ["processor", f"module_{parts[1]}"]
    if parts[0] == "mesh":
        parts[0] = {"nodes": "mesh_embedders", "same": "mesh_same_embedders", "up": "mesh_up_embedders"}.get(
            parts.pop(1), "mesh_down_embedders"
        )
    if parts[-1].isdigit() and parts[-2] in ("edge_mlp", "aggr_mlp"):  # one of several, of the parallel processor
        parts.insert(-1, "mlps")
    return parts
