"""A picture of a graph: its mesh, and how a corner of the grid is connected to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from genkit_weather.figures import FORECAST, GREY, INK, OTHERS
from genkit_weather.graphs.graph import Graph

COLOURS = (FORECAST, "#d55e00", "#009e73", *OTHERS)
MOST = 60_000  # edges drawn of a set


def picture(graph: Graph) -> Figure:
    """Left the mesh, every level in its colour; right, in the plane, the edges to and from the grid near a corner."""
    planar = graph.mesh[0].shape[1] == 2
    places = [_places(np.asarray(m)) for m in graph.mesh]
    figure = Figure(figsize=(9.2, 4.8), layout="constrained")
    left, *rest = figure.subplots(1, 2 if planar else 1, squeeze=False)[0]
    for level, (nodes, edges) in enumerate(zip(places, graph.m2m, strict=True)):
        colour = COLOURS[level % len(COLOURS)]
        _lines(left, nodes[edges.senders], nodes[edges.receivers], colour, 0.4 + 0.5 * level, planar)
        label = f"level {level}: {len(nodes)} nodes, {len(edges)} edges"
        left.scatter(*nodes.T, s=4 + 14 * level, color=colour, zorder=3 + level, lw=0, label=label)
    left.set_title(f"mesh {graph.kind}")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), fontsize=7.5, frameon=False)
    left.set(xlabel="x" if planar else "longitude", ylabel="y" if planar else "latitude")
    if planar:
        left.set_aspect("equal")
        _corner(rest[0], graph, places[0])
    return figure


def _corner(axes: Any, graph: Graph, mesh: np.ndarray) -> None:
    """The neighbourhood of the first mesh nodes: grid nodes, what they send, what they receive."""
    senders = np.zeros((graph.nodes + graph.boundary, 2))
    known = np.zeros(len(senders), bool)
    for edges, at, grid, sign in (
        (graph.m2g, mesh[graph.m2g.senders], graph.m2g.receivers, -1),
        (graph.g2m, mesh[graph.g2m.receivers], graph.g2m.senders, 1),
    ):
        senders[grid] = at + sign * np.asarray(edges.features)[:, 1:]
        known[grid] = True
    low = mesh.min(0)
    step = np.asarray(graph.m2m[0].features)[:, 0].min()
    to = low + 2.5 * step
    begin = np.minimum(senders[known].min(0), low)
    for edges, start, end, colour, label in (
        (graph.g2m, senders[graph.g2m.senders], mesh[graph.g2m.receivers], FORECAST, "grid to mesh"),
        (graph.m2g, mesh[graph.m2g.senders], senders[graph.m2g.receivers], "#d55e00", "mesh to grid"),
    ):
        shift = 0.02 * step * (1 if edges is graph.g2m else -1)
        near = ((start < to) & (end < to)).all(1)
        _lines(axes, start[near] + shift, end[near] + shift, colour, 0.7, True, label)
    inside = np.arange(len(senders)) < graph.nodes
    axes.scatter(*senders[known & inside].T, s=9, color=GREY, zorder=3, lw=0, label="forecast node")
    if graph.boundary:
        axes.scatter(*senders[known & ~inside].T, s=11, marker="s", facecolor="w", edgecolor=GREY, zorder=3, lw=0.7,
                     label="boundary node")  # fmt: skip
    axes.scatter(*mesh.T, s=32, color=INK, marker="D", zorder=4, lw=0, label="mesh node")
    margin = 0.15 * step
    axes.set(xlim=(begin[0] - margin, to[0]), ylim=(begin[1] - margin, to[1]), aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("a corner of the grid")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, fontsize=7.5, frameon=False)


def _lines(
    axes: Any, start: np.ndarray, end: np.ndarray, colour: str, width: float, planar: bool, label: str = ""
) -> None:
    if not planar:  # lines across the date line would cross the whole map
        near = np.abs(start[:, 0] - end[:, 0]) < 180
        start, end = start[near], end[near]
    some = slice(None, None, -(-max(len(start), 1) // MOST))
    lines = np.stack([start[some], end[some]], 1)
    axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=width, alpha=0.6, label=label))


def _places(mesh: np.ndarray) -> np.ndarray:
    """(M, 2) x and y, or longitude and latitude."""
    if mesh.shape[1] == 2:
        return mesh
    return np.rad2deg(np.stack([np.arctan2(mesh[:, 2], mesh[:, 1]), np.arcsin(np.clip(mesh[:, 0], -1, 1))], 1))
