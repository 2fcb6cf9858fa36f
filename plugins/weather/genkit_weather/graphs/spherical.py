"""Triangular meshes on the sphere: icosahedra refined by halving their edges, whole or cropped to a limited area.

As in GraphCast (Lam et al. 2023) and Graph-EFM (Oskarsson et al. 2024, arXiv 2406.04759).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, KDTree

from genkit.errors import DataError, UsageError
from genkit_weather.graphs import connect
from genkit_weather.graphs.connect import Connection, Pairs
from genkit_weather.graphs.graph import Graph, fingerprint
from genkit_weather.graphs.messages import Edges


@dataclass(frozen=True)
class Triangulation:
    """Vertices (M, 3) on the unit sphere and triangles (T, 3) of their numbers."""

    vertices: np.ndarray
    faces: np.ndarray

    @property
    def edges(self) -> Pairs:
        """Both directions of each side of a triangle, every one once."""
        sides = np.concatenate([self.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
        sides = np.unique(np.sort(sides, 1), axis=0)
        return np.concatenate([sides[:, 0], sides[:, 1]]), np.concatenate([sides[:, 1], sides[:, 0]])

    @property
    def longest(self) -> float:
        """Longest edge, as a chord."""
        return float(np.linalg.norm(np.subtract(*(self.vertices[end] for end in self.edges)), axis=1).max())

    def refined(self) -> Triangulation:
        """Each triangle cut into four at the midpoints of its sides, which move out to the sphere."""
        sides = np.stack([self.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])], 1)
        unique, place = np.unique(np.sort(sides.reshape(-1, 2), 1), axis=0, return_inverse=True)
        middle = self.vertices[unique].sum(1)
        vertices = np.concatenate([self.vertices, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        ab, bc, ca = (len(self.vertices) + place.reshape(-1, 3)).T
        a, b, c = self.faces.T
        faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))])
        return Triangulation(vertices, faces)

    def cropped(self, inside: np.ndarray) -> tuple[Triangulation, np.ndarray]:
        """The part with the vertices where `inside` (M,) is true, and the new number of each vertex (-1: gone)."""
        number = np.where(inside, np.cumsum(inside) - 1, -1)
        faces = number[self.faces]
        return Triangulation(self.vertices[inside], faces[(faces >= 0).all(1)]), number


def icosahedron() -> Triangulation:
    """The regular icosahedron with a vertex at each pole."""
    lat, lon = np.arctan(0.5), np.deg2rad(36) * np.arange(10)
    ring = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) * (-1.0) ** np.arange(10)], 1)
    vertices = np.concatenate([[[0, 0, 1.0]], ring, [[0, 0, -1.0]]])
    upper, lower = 1 + np.arange(0, 10, 2), 1 + np.arange(1, 10, 2)
    after = np.roll(upper, -1), np.roll(lower, -1)
    faces = [(np.zeros(5, int), upper, after[0]), (upper, lower, after[0]), (after[0], lower, after[1])]
    faces.append((np.full(5, 11), after[1], lower))
    return Triangulation(vertices, np.concatenate([np.stack(f, 1) for f in faces]))


def refinements(splits: int) -> list[Triangulation]:
    """The icosahedron and its refinements up to `splits` times; the vertices of each begin with those of the last."""
    meshes = [icosahedron()]
    for _ in range(splits):
        meshes.append(meshes[-1].refined())
    return meshes


def to_sphere(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(n, 3) points of the unit sphere, from degrees."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def in_hull(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """(M,) whether a vertex lies in the spherical convex hull of points (n, 3); all do if no hemisphere holds them."""
    centre = points.mean(0)
    if np.linalg.norm(centre) < 1e-6 or (points @ centre).min() <= 1e-6:
        return np.ones(len(vertices), bool)
    centre = centre / np.linalg.norm(centre)
    first = np.linalg.svd(centre[None])[2][1:]  # two axes across the centre; great circles become straight lines

    def gnomonic(x: np.ndarray) -> np.ndarray:
        return (x @ first.T) / (x @ centre)[:, None]

    hull = ConvexHull(gnomonic(points))
    inside = vertices @ centre > 1e-9
    planes = gnomonic(vertices[inside]) @ hull.equations[:, :2].T + hull.equations[:, 2]
    inside[inside] = (planes <= 1e-12).all(1)
    return inside


def containing_triangle(mesh: Triangulation, points: np.ndarray, candidates: int = 12) -> Pairs:
    """For each point the three corners of the triangle around it, (senders, receivers).

    Raises `DataError` where a point is in no triangle of the mesh.
    """
    corners = mesh.vertices[mesh.faces]
    inverse = np.linalg.inv(corners)
    tree = KDTree(corners.mean(1))
    near = tree.query(points, k=min(candidates, len(corners)))[1].reshape(len(points), -1)
    # coordinates of the point along the corners: none is negative in the triangle that contains it
    least = np.einsum("pi,pkij->pkj", points, inverse[near]).min(-1)
    best = least.argmax(1)
    outside = np.flatnonzero(least[np.arange(len(points)), best] < -1e-9)
    if len(outside):
        raise DataError(
            f"{len(outside)} grid nodes lie in no triangle of the mesh, the first is node {outside[0]}; widen the "
            "boundary, refine the mesh more often, or connect by `nearest`"
        )
    faces = mesh.faces[near[np.arange(len(points)), best]]
    return faces.ravel(), np.repeat(np.arange(len(points)), 3)


def features(senders: np.ndarray, receivers: np.ndarray, pairs: Pairs) -> np.ndarray:
    """(E, 4) chord and components of sender minus receiver, the receiver turned to (lat, lon) = 0, over the longest."""
    at, of = receivers[pairs[1]], senders[pairs[0]]
    chord = of - at
    horizontal = np.hypot(at[:, 0], at[:, 1])
    pole = horizontal < 1e-12
    cos, sin = (np.where(pole, one, at[:, i] / np.where(pole, 1, horizontal)) for i, one in ((0, 1.0), (1, 0.0)))
    east = -sin * chord[:, 0] + cos * chord[:, 1]
    radial = cos * chord[:, 0] + sin * chord[:, 1]
    turned = [horizontal * radial + at[:, 2] * chord[:, 2], east, horizontal * chord[:, 2] - at[:, 2] * radial]
    table = np.stack([np.linalg.norm(chord, axis=1), *turned], 1)
    return table / max(float(table[:, 0].max(initial=0.0)), 1e-12)


def node_features(vertices: np.ndarray) -> np.ndarray:
    """(M, 3) sin(lat), cos(lon), sin(lon)."""
    lon = np.arctan2(vertices[:, 1], vertices[:, 0])
    return np.stack([vertices[:, 2], np.cos(lon), np.sin(lon)], 1).astype(np.float32)


def assemble(
    splits: int,
    levels: int | None,
    kind: str,
    points: np.ndarray,
    boundary: np.ndarray | None,
    g2m: Connection,
    m2g: Connection,
    boundary_radius: float,
) -> Graph:
    """The graph of an icosahedron refined `splits` times and grid points (n, 3) on the sphere.

    `kind` is tri_flat (the finest edges), tri_multiscale (the edges of all levels) or tri_hierarchical. Of the
    levels the finest `levels` are used.
    """
    everywhere = points if boundary is None else np.concatenate([points, boundary])
    meshes = refinements(splits)[::-1][:levels]
    unit = meshes[0].longest
    kept = in_hull(everywhere, meshes[0].vertices)
    cut = [
        mesh.cropped(kept[: len(mesh.vertices)]) for mesh in meshes
    ]  # coarse vertices are the first of the fine ones
    finest = cut[0][0]
    if len(finest.vertices) < 3:
        raise UsageError(
            f"an icosahedron refined {splits} times has {len(finest.vertices)} nodes in this area; refine more"
        )

    def edges(pairs: Pairs, senders: np.ndarray, receivers: np.ndarray) -> Edges:
        return Edges.build(*pairs, features(senders, receivers, pairs), (len(senders), len(receivers)))

    def joined(how: Connection, senders: np.ndarray, receivers: np.ndarray) -> Pairs:
        if how.method in ("radius", "relative_radius"):
            return connect.within(senders, receivers, how.radius * (unit if how.method == "relative_radius" else 1.0))
        if how.method == "nearest":
            return connect.nearest(senders, receivers, how.k)
        if how.method == "containing_triangle" and senders is finest.vertices:
            return containing_triangle(finest, receivers)
        if how.method == "containing_triangle":
            return connect.reversed_pairs(containing_triangle(finest, senders))
        raise UsageError("a triangular mesh has no rectangles; choose another connection")

    to_mesh = joined(g2m, points, finest.vertices)
    if boundary is not None:
        more = connect.within(boundary, finest.vertices, boundary_radius * unit)
        to_mesh = np.concatenate([to_mesh[0], len(points) + more[0]]), np.concatenate([to_mesh[1], more[1]])

    if kind == "tri_hierarchical":
        levels_used = [mesh for mesh, _ in cut if len(mesh.vertices)]
        if len(levels_used) < 2:
            raise UsageError("a hierarchical mesh needs two levels or more in its area; refine more, or use a flat one")
        within = [connect.within(a.vertices, b.vertices, 1.1 * meshes[i].longest)
                  for i, (a, b) in enumerate(zip(levels_used, levels_used[1:], strict=False))]  # fmt: skip
        same = [mesh.edges for mesh in levels_used]
    else:
        levels_used, within = [finest], []
        # vertices of a coarser mesh keep their number in the finest one, before the crop
        number = cut[0][1]
        pairs = [meshes[0].edges] if kind == "tri_flat" else [mesh.edges for mesh in meshes]
        joint = [np.concatenate([number[p[i]] for p in pairs]) for i in (0, 1)]
        there = (joint[0] >= 0) & (joint[1] >= 0)
        same = [(joint[0][there], joint[1][there])]
    places = [mesh.vertices for mesh in levels_used]
    return Graph(
        g2m=edges(to_mesh, everywhere, finest.vertices),
        m2g=edges(joined(m2g, finest.vertices, points), finest.vertices, points),
        m2m=tuple(edges(pairs, a, a) for pairs, a in zip(same, places, strict=True)),
        up=tuple(edges(pairs, a, b) for pairs, a, b in zip(within, places, places[1:], strict=False)),
        down=tuple(
            edges(connect.reversed_pairs(pairs), b, a) for pairs, a, b in zip(within, places, places[1:], strict=False)
        ),
        mesh=tuple(map(node_features, places)),
        nodes=len(points),
        boundary=0 if boundary is None else len(boundary),
        kind=kind,
        grid=fingerprint(points, boundary),
    )
