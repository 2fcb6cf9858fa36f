"""The graph of a weather model: a grid, a mesh of one or several levels, and the edges between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit.tree import register_dataclass
from genkit_weather.graphs.messages import Edges


@register_dataclass
@dataclass(frozen=True)
class Graph:
    """Grid nodes send to the finest mesh level (`g2m`) and receive from it (`m2g`); level 0 is the finest.

    The grid has `nodes` that are forecast, numbered first, and `boundary` nodes after them that only send. Features
    of an edge are (length, components) of sender minus receiver; those of a mesh node are its place. A graph of one
    level is flat, or multi-scale where edges of several lengths join its nodes. All leaves are arrays, so that a
    graph is passed to compiled code as an argument.
    """

    g2m: Edges
    m2g: Edges
    m2m: tuple[Edges, ...]
    """L, within each level"""
    up: tuple[Edges, ...]
    """L - 1, from level l to l + 1"""
    down: tuple[Edges, ...]
    """L - 1, from level l + 1 to l"""
    mesh: tuple[Any, ...]
    """L, (M_l, 2 or 3) features of the nodes"""
    nodes: int = field(metadata={"static": True})
    boundary: int = field(default=0, metadata={"static": True})
    kind: str = field(default="", metadata={"static": True})
    """how it was built, as rect_multiscale"""
    span: float = field(default=1.0, metadata={"static": True})
    """extent of the grid, by which places are divided: the longer side of its box; 1 on the sphere"""
    grid: str = field(default="", metadata={"static": True})
    """fingerprint of the places of the grid nodes"""

    @property
    def levels(self) -> int:
        """Number of mesh levels L."""
        return len(self.mesh)

    @property
    def sets(self) -> dict[str, Edges]:
        """All sets of edges by their names in files: g2m, m2g, m2m/0, mesh_up/0, mesh_down/0, ..."""
        found = {"g2m": self.g2m, "m2g": self.m2g}
        for name, group in (("m2m", self.m2m), ("mesh_up", self.up), ("mesh_down", self.down)):
            found |= {f"{name}/{i}": edges for i, edges in enumerate(group)}
        return found


def fingerprint(*places: np.ndarray | None) -> str:
    """16 hexadecimal digits of coordinates, rounded to six digits: the same grid, whatever its precision."""
    digest = hashlib.sha256()
    for each in places:
        if each is not None and len(each):
            each = np.asarray(each, np.float64)
            scale = float(np.abs(each).max()) or 1.0
            digest.update(np.round(each / scale * 1e6).astype(np.int64).tobytes())
    return digest.hexdigest()[:16]


def normalised(graph: Graph) -> Graph:
    """Lengths over the longest edge within the mesh, places over the span of the grid: what networks are given."""
    longest = max(float(e.features[:, 0].max()) for e in graph.m2m if len(e))

    def scaled(edges: Edges) -> Edges:
        return replace(edges, features=(edges.features / longest).astype(np.float32))

    return replace(
        graph,
        g2m=scaled(graph.g2m),
        m2g=scaled(graph.m2g),
        m2m=tuple(map(scaled, graph.m2m)),
        up=tuple(map(scaled, graph.up)),
        down=tuple(map(scaled, graph.down)),
        mesh=tuple((np.asarray(m) / graph.span).astype(np.float32) for m in graph.mesh),
        span=1.0,
    )


def limited(graph: Graph, inside: np.ndarray, outside: np.ndarray) -> Graph:
    """The graph of a whole grid with its nodes renumbered: `inside` are forecast, `outside` only send.

    Args:
        graph: without boundary nodes.
        inside: (n,) numbers of the nodes that come first.
        outside: (b,) numbers of the nodes after them; their edges from the mesh are dropped.
    """
    if graph.boundary or len(inside) + len(outside) != graph.nodes:
        raise DataError(
            f"a graph of {graph.nodes} grid nodes and {graph.boundary} boundary nodes cannot be cut into "
            f"{len(inside)} inside and {len(outside)} outside; give each node of a graph without boundary once"
        )
    place = np.empty(graph.nodes, np.int64)
    place[np.concatenate([inside, outside])] = np.arange(graph.nodes)
    g2m, m2g, count = graph.g2m, graph.m2g, len(inside)
    kept = place[m2g.receivers] < count
    return replace(
        graph,
        g2m=Edges.build(place[g2m.senders], g2m.receivers, g2m.features, g2m.sizes),
        m2g=Edges.build(m2g.senders[kept], place[m2g.receivers[kept]], m2g.features[kept], (m2g.sizes[0], count)),
        nodes=count,
        boundary=len(outside),
        grid="",
    )


def to_jraph(graph: Graph) -> Any:
    """The graph as one `jraph.GraphsTuple`: nodes are the grid, its boundary, then the mesh levels.

    Nodes and edges are dicts: "set" numbers of their set (grid and boundary 0, mesh level l is l + 1; edges in the
    order of `Graph.sets`), "features" padded with zeros to a common width.
    """
    try:
        import jraph  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError("a jraph.GraphsTuple needs the package jraph; pip install jraph") from error
    offsets = np.cumsum([0, graph.nodes + graph.boundary, *map(len, graph.mesh)])
    ends = {"g2m": (0, 1), "m2g": (1, 0)}
    for i in range(graph.levels):
        ends |= {f"m2m/{i}": (i + 1, i + 1), f"mesh_up/{i}": (i + 1, i + 2), f"mesh_down/{i}": (i + 2, i + 1)}
    sets = graph.sets
    width = graph.mesh[0].shape[1]
    grid = np.zeros((offsets[1], width), np.float32)
    senders = np.concatenate([e.senders + offsets[ends[name][0]] for name, e in sets.items()])
    receivers = np.concatenate([e.receivers + offsets[ends[name][1]] for name, e in sets.items()])
    return jraph.GraphsTuple(
        nodes={
            "set": np.repeat(np.arange(graph.levels + 1), np.diff(offsets)),
            "features": np.concatenate([grid, *map(np.asarray, graph.mesh)]),
        },
        edges={
            "set": np.repeat(np.arange(len(sets)), [len(e) for e in sets.values()]),
            "features": np.concatenate([e.features for e in sets.values()]),
        },
        senders=senders.astype(np.int32),
        receivers=receivers.astype(np.int32),
        globals=None,
        n_node=np.array([offsets[-1]], np.int32),
        n_edge=np.array([len(senders)], np.int32),
    )
