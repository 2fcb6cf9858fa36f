"""Shortest paths in a graph of points of the latent space, in any dimension: rough, global, and a start for others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError
from genkit.tree import register_dataclass
from genkit_latents.geometry.geodesics.energy import Energy
from genkit_latents.geometry.geodesics.result import Geodesic, begin, finish
from genkit_latents.geometry.neighbours import neighbour_pairs
from genkit_latents.geometry.paths import length, straight

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Graph:
    """Points joined to their neighbours by straight edges of Riemannian length, with all shortest paths."""

    points: Array
    """(n, d)"""
    distances: Array
    """(n, n) along the graph"""
    before: Array
    """(n, n) int: the last point but one of the path from row to column"""
    neighbours: int = field(metadata={"static": True})

    @classmethod
    def build(cls, metric: Any, points: Any, neighbours: int = 8, pieces: int = 8) -> Graph:
        """Join every point to its nearest ones by Euclidean distance.

        An edge is kept if either of its ends has the other among its nearest (a mean of both directions would halve the
        edges that only one has), and parts are joined by the shortest edges between them. `pieces` is for the length
        of an edge.
        """
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import shortest_path

        points = np.asarray(points)
        a, b = neighbour_pairs(points, neighbours).T

        @jax.jit
        def lengths(metric: Any, p: Array, q: Array) -> Array:
            return jax.vmap(lambda p, q: length(metric, straight(p, q, pieces)))(p, q)

        weight = np.asarray(lengths(metric, jnp.asarray(points[a]), jnp.asarray(points[b])), np.float64)
        if not np.isfinite(weight).all():
            raise GenkitError("an edge of the graph has no finite length; is the metric finite between the points?")
        sparse = csr_matrix((weight, (a, b)), shape=(len(points), len(points)))
        distances, before = shortest_path(sparse, directed=False, return_predecessors=True)
        return cls(jnp.asarray(points), jnp.asarray(distances, points.dtype), jnp.asarray(before), neighbours)

    def path(self, metric: Any, p: Array, q: Array, segments: int) -> Array:
        """The polygon (segments + 1, d) along the shortest path from p to q, its corners rounded."""
        (i, first), (j, last) = (self._attach(metric, x) for x in (p, q))
        total = first[:, None] + self.distances[i][:, j] + last[None, :]
        best = jnp.argmin(total)
        begin_at, end_at = i[best // len(j)], j[best % len(j)]

        def back(at: Array, _: None) -> Any:
            return jnp.where(at == begin_at, at, self.before[begin_at, at]), at

        n = self.points.shape[0]
        _, visited = jax.lax.scan(back, end_at, None, length=n)  # from the end; stays at the beginning
        corners = jnp.concatenate([p[None], self.points[visited[::-1]], q[None]])
        gaps = jnp.linalg.norm(jnp.diff(corners, axis=0), axis=1)
        at = jnp.concatenate([jnp.zeros(1, p.dtype), jnp.cumsum(gaps)])
        wanted = jnp.linspace(0, 1, segments + 1, dtype=p.dtype) * at[-1]
        curve = jax.vmap(lambda x: jnp.interp(wanted, at, x), 1, 1)(corners)
        for _ in range(2):
            curve = curve.at[1:-1].set((curve[:-2] + curve[1:-1] + curve[2:]) / 3)
        return curve

    def _attach(self, metric: Any, x: Array) -> tuple[Array, Array]:
        """The nearest points (k,) by Euclidean distance, and the lengths of the straight lines to them."""
        near = jax.lax.top_k(-jnp.square(self.points - x).sum(1), self.neighbours)[1]
        return near, jax.vmap(lambda y: length(metric, straight(x, y, 8)))(self.points[near])


@dataclass(frozen=True, eq=False)
class OnGraph:
    """The rounded path of a graph as it is; it claims convergence only with a tolerance above its residual of 1."""

    graph: Graph
    segments: int = 32

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The path from p (d,) to q (d,)."""
        curve = self.graph.path(metric, p, q, self.segments)
        return finish(metric, curve, jnp.int32(0), jnp.ones((), p.dtype), 0.0, 0.2)


@dataclass(frozen=True, eq=False)
class Hybrid:
    """Another solver, started both from the graph and from the straight line; the shorter curve that converged.

    Finds the way around holes, where a solver from the straight line stays in a worse valley.
    """

    graph: Graph
    solver: Any = Energy()
    """What finishes the curve."""

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        segments = getattr(self.solver, "segments", 32)
        starts = jnp.stack([self.graph.path(metric, p, q, segments), begin(p, q, segments, init)])
        found = jax.vmap(lambda c: self.solver(metric, p, q, c))(starts)
        cost = jnp.where(jnp.isfinite(found.length), found.length, jnp.inf)
        cost = jnp.where(found.converged.any() & ~found.converged, jnp.inf, cost)
        best = jnp.argmin(cost)
        return jax.tree.map(lambda leaf: leaf[best], found)
