"""Graphs of nearest neighbours."""

from __future__ import annotations

import numpy as np

from genkit.errors import UsageError


def neighbour_pairs(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Pairs (m, 2) of the rows (n, d), first < second, of which one has the other among its nearest.

    What is in parts is joined by the shortest of all pairs between them.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    n = len(points)
    if not 1 <= neighbours < n:
        raise UsageError(f"neighbours={neighbours} of {n} points; expected 1 to {n - 1}")
    near = np.asarray(KDTree(points).query(points, neighbours + 1)[1])[:, 1:]
    pairs = np.stack([np.repeat(np.arange(n), neighbours), near.ravel()], 1)
    while True:
        graph = csr_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
        parts, part = connected_components(graph, directed=False)
        if parts == 1:
            return np.unique(np.sort(pairs, 1), axis=0)
        inside, outside = np.flatnonzero(part == part[0]), np.flatnonzero(part != part[0])
        gap, at = map(np.asarray, KDTree(points[outside]).query(points[inside]))
        best = int(gap.argmin())
        pairs = np.concatenate([pairs, [[inside[best], outside[at[best]]]]])
