"""Graphs on disk: one .npz, or a folder of .npz or torch files in the layout 0.1.0 of Neural-LAM's graphs.

Names are those of Neural-LAM: `g2m_edge_index` (2, E) with senders and receivers, `g2m_features`, `m2g_*`, and by
level `m2m_edge_index/0`, `m2m_features/0`, `mesh_features/0`, `mesh_up_*`, `mesh_down_*`. Every set of nodes is
numbered from zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from genkit.errors import DataError
from genkit_weather.graphs.graph import Graph
from genkit_weather.graphs.messages import Edges

VERSION = "0.1.0"
LISTS = ("m2m_edge_index", "m2m_features", "mesh_features", "mesh_up_edge_index", "mesh_up_features",
         "mesh_down_edge_index", "mesh_down_features")  # fmt: skip
META = ("kind", "span", "nodes", "boundary", "grid")


def arrays(graph: Graph) -> dict[str, np.ndarray]:
    """The graph as named arrays."""
    found: dict[str, np.ndarray] = {f"mesh_features/{i}": np.asarray(m) for i, m in enumerate(graph.mesh)}
    for name, edges in graph.sets.items():
        stem, slash, level = name.partition("/")
        found[f"{stem}_edge_index{slash}{level}"] = np.stack([edges.senders, edges.receivers]).astype(np.int64)
        found[f"{stem}_features{slash}{level}"] = np.asarray(edges.features)
    return found


def save(graph: Graph, path: str | Path, format: Literal["npz", "torch"] = "npz") -> None:
    """Write a graph to a file `.npz`, or to a folder of torch files (which needs torch)."""
    path, named = Path(path), arrays(graph)
    meta = {name: getattr(graph, name) for name in META}
    if format == "npz":
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **named, spec_version=VERSION, **meta)
        return
    torch = _torch(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / "metainfo.yaml").write_text(yaml.safe_dump({"spec_version": VERSION, **meta}))
    for stem in ("g2m", "m2g"):
        for part in ("edge_index", "features"):
            torch.save(torch.from_numpy(named[f"{stem}_{part}"]), path / f"{stem}_{part}.pt")
    for name in LISTS:
        parts = [named[f"{name}/{i}"] for i in range(graph.levels) if f"{name}/{i}" in named]
        if parts:
            torch.save([torch.from_numpy(part) for part in parts], path / f"{name}.pt")


def load(path: str | Path, nodes: int | None = None, negate: bool = False) -> Graph:
    """Read a graph from a file `.npz` or a folder of torch files.

    Args:
        path: file or folder.
        nodes: grid nodes, where the files do not tell; else the largest number found.
        negate: the components of the edge features are receiver minus sender there.

    A folder without metainfo.yaml has indices in one joint numbering, as old versions of Neural-LAM wrote them; each
    end of a set of edges is then moved so that it begins at zero.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no graph at {path}; `genkit weather-graph build` makes one")
    named, meta = _read_folder(path) if path.is_dir() else _read_file(path)
    if str(meta.get("spec_version", VERSION)) != VERSION:
        raise DataError(f"{path}: graphs of version {meta['spec_version']} are not known, only {VERSION}")
    return from_arrays(named, nodes=nodes, negate=negate, meta=meta, source=str(path))


def from_arrays(
    named: dict[str, Any],
    *,
    nodes: int | None = None,
    negate: bool = False,
    meta: dict[str, Any] | None = None,
    source: str = "arrays",
) -> Graph:
    """The graph of named arrays; see `load`. A list may stand under its name in place of `name/0`, `name/1`, ..."""
    flat: dict[str, np.ndarray] = {}
    for name, value in named.items():
        several = isinstance(value, list | tuple) or (name in LISTS and np.ndim(value) == 3)
        flat |= {f"{name}/{i}": np.asarray(v) for i, v in enumerate(value)} if several else {name: np.asarray(value)}
        if name in LISTS and not several:  # a graph of one level may have no list
            flat[f"{name}/0"] = flat.pop(name)
    meta = meta or {}

    def get(name: str) -> np.ndarray:
        if name not in flat:
            raise DataError(f"{source}: the graph has no {name}; expected the names of Neural-LAM's graphs")
        return flat[name]

    mesh = []
    while f"mesh_features/{len(mesh)}" in flat:
        mesh.append(np.asarray(get(f"mesh_features/{len(mesh)}"), np.float32))
    if not mesh:
        get("mesh_features/0")
    sizes = [len(m) for m in mesh]
    ends = {name: get(f"{name}_edge_index") for name in ("g2m", "m2g")}
    legacy = bool(meta.get("legacy"))
    if legacy:
        ends = {name: index - index.min(1, keepdims=True) for name, index in ends.items()}
    boundary = int(meta.get("boundary", 0))
    nodes = int(meta.get("nodes", nodes or 0) or max(ends["g2m"][0].max(), ends["m2g"][1].max()) + 1)

    def edges(name: str, between: tuple[int, int]) -> Edges:
        stem, slash, level = name.partition("/")
        index = ends[name] if name in ends else get(f"{stem}_edge_index{slash}{level}")
        if legacy and name not in ends:
            index = index - index.min(1, keepdims=True)
        table = np.array(get(f"{stem}_features{slash}{level}"), np.float32)
        if negate:
            table[:, 1:] *= -1
        if len(table) != index.shape[1]:
            raise DataError(f"{source}: {name} has {index.shape[1]} edges and features of {len(table)}")
        return Edges.build(index[0], index[1], table, between)

    steps = list(zip(sizes, sizes[1:], strict=False))
    return Graph(
        g2m=edges("g2m", (nodes + boundary, sizes[0])),
        m2g=edges("m2g", (sizes[0], nodes)),
        m2m=tuple(edges(f"m2m/{i}", (n, n)) for i, n in enumerate(sizes)),
        up=tuple(edges(f"mesh_up/{i}", (a, b)) for i, (a, b) in enumerate(steps)),
        down=tuple(edges(f"mesh_down/{i}", (b, a)) for i, (a, b) in enumerate(steps)),
        mesh=tuple(mesh),
        nodes=nodes,
        boundary=boundary,
        kind=str(meta.get("kind", "")),
        span=float(meta.get("span", 1.0)),
        grid=str(meta.get("grid", "")),
    )


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            named = dict(file)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no graph file: {error}; expected a .npz of `genkit weather-graph build`") from error
    meta = {name: named.pop(name).item() for name in ("spec_version", *META) if name in named}
    return named, meta


def _read_folder(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    torch = _torch(path)
    info = path / "metainfo.yaml"
    meta = yaml.safe_load(info.read_text()) if info.exists() else {"legacy": True}
    named = {}
    for file in sorted(path.glob("*.pt")):
        value = torch.load(file, map_location="cpu", weights_only=True)
        named[file.stem] = [v.numpy() for v in value] if isinstance(value, list) else value.numpy()
    return named, meta


def _torch(path: Path) -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(f"{path}: graphs in torch files need torch; pip install torch, or use a .npz") from error
    return torch
