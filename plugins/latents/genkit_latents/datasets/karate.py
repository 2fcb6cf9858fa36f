"""Zachary's karate club: a graph to embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data import fetch, local
from genkit.errors import DataError
from genkit_latents.data import Points, check

EDGES = "manifolds/karate.txt", "746bf5acce4bfe562155fb1d6ec193b8b72bbff55db30a324ea0762b9cc8f6df"
LABELS = "manifolds/karate_labels.txt", "7736b99137c21fdf76dc7d3714e9ee338effcb33f85db49bb5cc008d93b6d139"
SOURCE = "https://raw.githubusercontent.com/geomstats/geomstats/main/geomstats/datasets/data/graph_karate/"


@dataclass(frozen=True)
class Karate:
    """34 members, 78 friendships, two factions (Zachary 1977): rows of the adjacency matrix with ones on the diagonal.

    Train and test are the same; true distances are shortest paths.
    """

    def path(self) -> Path | None:
        """The file of the edges, where it is here already."""
        return local(*EDGES)

    def load(self) -> Points:
        """34 rows of 34."""
        from scipy.sparse.csgraph import shortest_path

        file = fetch(*EDGES, SOURCE + "karate.txt")
        edges = np.loadtxt(file)
        labels = np.loadtxt(fetch(*LABELS, SOURCE + "karate_labels.txt")).astype(int)
        if edges.shape != (34, 34) or edges.sum() != 156 or (edges != edges.T).any():
            raise DataError(f"{file}: shape {edges.shape} with {edges.sum():.0f} ones; expected 34 x 34 with 156")
        x = (edges + np.eye(34)).astype(np.float32)
        return check(
            Points(x, x, "bernoulli", "karate", labels, labels, distances=shortest_path(edges, unweighted=True))
        )
