"""What a sound graph is."""

from __future__ import annotations

import numpy as np

from genkit.errors import DataError
from genkit_weather.graphs.graph import Graph


def problems(graph: Graph) -> list[str]:
    """All that is wrong with a graph, one line each; isolated nodes are counted and the first ones named."""
    found = []
    for name, edges in graph.sets.items():
        if not len(edges):
            found.append(f"{name} has no edges")
        if not np.isfinite(edges.features).all():
            found.append(f"{name} has features that are not finite")
        pairs = np.stack([edges.senders, edges.receivers], 1)
        doubles = len(pairs) - len(np.unique(pairs, axis=0))
        if doubles:
            found.append(f"{name} has {doubles} edges more than once")
    found += _alone("grid node", "feeds no mesh node", graph.g2m.senders, graph.nodes + graph.boundary)
    found += _alone("mesh node", "hears no grid node", graph.g2m.receivers, len(graph.mesh[0]))
    found += _alone("grid node", "receives nothing from the mesh", graph.m2g.receivers, graph.nodes)
    for level, edges in enumerate(graph.m2m):
        if len(graph.mesh[level]) > 1:
            what = f"mesh node of level {level}"
            found += _alone(what, "has no neighbour", edges.receivers, len(graph.mesh[level]))
    for level, (up, down) in enumerate(zip(graph.up, graph.down, strict=True)):
        found += _alone(f"mesh node of level {level + 1}", "hears nothing from below", up.receivers, up.sizes[1])
        found += _alone(f"mesh node of level {level}", "hears nothing from above", down.receivers, down.sizes[1])
    return found


def _alone(what: str, how: str, present: np.ndarray, count: int) -> list[str]:
    missing = np.flatnonzero(np.bincount(present, minlength=count)[:count] == 0)
    if not len(missing):
        return []
    some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    return [f"{len(missing)} of {count} times a {what} {how}: {some}"]


def checked(graph: Graph) -> Graph:
    """The graph itself, or a `DataError` with its problems."""
    wrong = problems(graph)
    if wrong:
        raise DataError(
            f"the graph {graph.kind} is not sound: {'; '.join(wrong)}; change its distance or connections, or "
            "take it as it is with strict=False"
        )
    return graph


def check_grid(graph: Graph, nodes: int, boundary: int, grid: str, source: str) -> Graph:
    """The graph itself, or a `DataError` where it was built for another grid (`grid` is a fingerprint, "" unknown)."""
    if (graph.nodes, graph.boundary) != (nodes, boundary):
        raise DataError(
            f"the graph is for {graph.nodes} grid nodes and {graph.boundary} boundary nodes, {source} has {nodes} and "
            f"{boundary}; build the graph for this grid"
        )
    if graph.grid and grid and graph.grid != grid:
        raise DataError(
            f"the graph is for another grid than {source}, though of equal size (fingerprint {graph.grid}, not "
            f"{grid}); build it for this grid"
        )
    return graph
