"""Rectangular meshes: lattices of nodes with their eight neighbours, flat, multi-scale or hierarchical.

The classic rule is that of Neural-LAM (Oskarsson et al. 2023, arXiv 2309.17370): 3^k x 3^k lattices over the box of
the grid. The archetypes are those of the package weather-model-graphs: lattices of a chosen spacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_weather.graphs import connect
from genkit_weather.graphs.connect import Connection, Pairs
from genkit_weather.graphs.graph import Graph, fingerprint
from genkit_weather.graphs.messages import Edges


@dataclass(frozen=True)
class Lattice:
    """A cell-centred lattice over a box: the first node lies half a spacing inside the border."""

    counts: tuple[int, int]
    """nodes (nx, ny)"""
    low: np.ndarray
    """(2,) corner of the box"""
    spacing: np.ndarray
    """(2,)"""

    @property
    def places(self) -> np.ndarray:
        """(ny nx, 2) x and y of the nodes, row by row."""
        x, y = (low + d * (0.5 + np.arange(n)) for low, d, n in zip(self.low, self.spacing, self.counts, strict=True))
        return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)

    @property
    def neighbours(self) -> Pairs:
        """The edges between each node and its up to eight neighbours, both directions: 4 (n - 1)(2n - 1) of them."""
        nx, ny = self.counts
        number = np.arange(nx * ny).reshape(ny, nx)
        pairs = [
            (number[:, 1:], number[:, :-1]),
            (number[1:], number[:-1]),
            (number[1:, 1:], number[:-1, :-1]),
            (number[1:, :-1], number[:-1, 1:]),
        ]
        one, two = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
        return np.concatenate([one, two]), np.concatenate([two, one])


def box(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, extent) of the box around places (n, 2)."""
    low, high = places.min(0), places.max(0)
    if not (high > low).all():
        raise UsageError(f"the grid nodes lie on a line (extent {high - low}); a mesh needs two dimensions")
    return low, high - low


def power(n: int, base: int) -> int:
    """Largest k with base^k <= n, in whole numbers."""
    k = 0
    while base ** (k + 1) <= n:
        k += 1
    return k


def classic(places: np.ndarray, shape: tuple[int, int], levels: int | None) -> list[Lattice]:
    """Lattices of 3^(k-1), 3^(k-2), ..., 3 nodes a side, finest first, 3^k being at most the longer side of the grid.

    Args:
        places: (n, 2) of all grid nodes.
        shape: cells of the grid along its sides.
        levels: at most so many.
    """
    low, extent = box(places)
    k = power(max(shape), 3)
    if k < 2:
        raise UsageError(f"a grid of {shape[0]} x {shape[1]} cells is too small for the classic mesh; it needs 9 cells")
    sides = [3 ** (k - 1 - level) for level in range(k - 1)][:levels]
    return [Lattice((n, n), low, extent / n) for n in sides]


def archetype(places: np.ndarray, distance: float, refinement: int, levels: int | None, flat: bool) -> list[Lattice]:
    """Lattices by the spacing of their nodes: int(extent / distance) a side, or the power of `refinement` below it.

    Args:
        places: (n, 2) of all grid nodes.
        distance: between mesh nodes, in the units of the places.
        refinement: nodes of a level a side over those of the next.
        levels: at most so many.
        flat: one level only, which need not be a power of `refinement`.
    """
    low, extent = box(places)
    most = (extent / distance * (1 + 1e-12)).astype(int)
    if most.min() < 1:
        raise UsageError(f"mesh nodes {distance:g} apart do not fit in a box of {extent[0]:g} x {extent[1]:g}")
    if flat:
        return [Lattice((int(most[0]), int(most[1])), low, extent / most)]
    powers = [power(int(n), refinement) for n in most]
    sides = [tuple(refinement ** (k - level) for k in powers) for level in range(min(powers))][:levels]
    if not sides:
        raise UsageError(
            f"a box of {extent[0]:g} x {extent[1]:g} has no room for levels of nodes {distance:g} apart refined by "
            f"{refinement}; choose a smaller distance"
        )
    return [Lattice((nx, ny), low, extent / np.array([nx, ny])) for nx, ny in sides]


def flat(lattices: list[Lattice]) -> tuple[list[np.ndarray], list[Pairs]]:
    """(places, edges) of one level that also has the edges of the coarser ones, between the nodes at their places."""
    finest, pairs = lattices[0], []
    nodes = np.arange(np.prod(finest.counts)).reshape(finest.counts[::-1])
    for lattice in lattices:
        step = [a // b for a, b in zip(finest.counts, lattice.counts, strict=True)]
        if any(s % 2 == 0 or s * b != a for s, a, b in zip(step, finest.counts, lattice.counts, strict=True)):
            raise UsageError("a multi-scale mesh needs an odd refinement, so that coarse nodes lie on fine ones")
        chosen = nodes[step[1] // 2 :: step[1], step[0] // 2 :: step[0]].ravel()
        pairs.append(tuple(chosen[end] for end in lattice.neighbours))
    return [finest.places], [(np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]))]


def assemble(
    lattices: list[Lattice],
    hierarchical: bool,
    places: np.ndarray,
    boundary: np.ndarray | None,
    g2m: Connection,
    m2g: Connection,
    dm: float,
    kind: str,
) -> Graph:
    """The graph of these lattices and grid nodes; `dm` is the unit of relative radii."""
    if hierarchical:
        mesh, same = [a.places for a in lattices], [a.neighbours for a in lattices]
        if len(mesh) < 2:
            raise UsageError("a hierarchical mesh needs two levels or more; choose a finer mesh, or a flat one")
    else:
        mesh, same = flat(lattices)
    everywhere = places if boundary is None else np.concatenate([places, boundary])
    spacing = lattices[0].spacing

    def joined(how: Connection, senders: np.ndarray, receivers: np.ndarray, grid_receives: bool) -> Pairs:
        if how.method in ("radius", "relative_radius"):
            radius = how.radius * (dm if how.method == "relative_radius" else 1.0)
            return connect.within(senders, receivers, radius)
        if how.method == "nearest":
            return connect.nearest(senders, receivers, how.k)
        if how.method == "containing_rectangle":
            if grid_receives:
                return connect.containing_rectangle(senders, receivers, spacing)
            return connect.reversed_pairs(connect.containing_rectangle(receivers, senders, spacing))
        raise UsageError("a rectangular mesh has no triangles; choose another connection")

    def edges(pairs: Pairs, senders: np.ndarray, receivers: np.ndarray) -> Edges:
        features = connect.planar_features(senders, receivers, pairs)
        return Edges.build(*pairs, features, (len(senders), len(receivers)))

    # each fine node finds its one coarse node
    ups = [connect.reversed_pairs(connect.nearest(b, a, 1)) for a, b in zip(mesh, mesh[1:], strict=False)]
    _, extent = box(everywhere)
    return Graph(
        g2m=edges(joined(g2m, everywhere, mesh[0], False), everywhere, mesh[0]),
        m2g=edges(joined(m2g, mesh[0], places, True), mesh[0], places),
        m2m=tuple(edges(pairs, a, a) for pairs, a in zip(same, mesh, strict=True)),
        up=tuple(edges(pairs, a, b) for pairs, a, b in zip(ups, mesh, mesh[1:], strict=False)),
        down=tuple(
            edges(connect.reversed_pairs(pairs), b, a) for pairs, a, b in zip(ups, mesh, mesh[1:], strict=False)
        ),
        mesh=tuple(np.asarray(m, np.float32) for m in mesh),
        nodes=len(places),
        boundary=0 if boundary is None else len(boundary),
        kind=kind,
        span=float(extent.max()),
        grid=fingerprint(places, boundary),
    )
