"""A noisy binary diffusion on a tree: data whose distances are those of a tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_latents.data import Points, check, split


@dataclass(frozen=True)
class Tree:
    """Branching diffusion of Mathieu et al. 2019 (arXiv 1901.06033): every node is its parent and Gaussian noise.

    Each node has noisy siblings, which are data too. Labels are the branches at depth 2; true distances between test
    rows are numbers of edges between their nodes.
    """

    dim: int = 50
    """numbers of a row"""
    depth: int = 6
    """generations below the root"""
    branching: int = 2
    """children of a node"""
    siblings: int = 5
    """rows of a node"""
    variance: float = 1.0
    """of a child around its parent"""
    factor: float = 5.0
    """by which the variance of siblings is smaller"""
    seed: int = 0
    """of the noise and the split"""

    def load(self) -> Points:
        """Standardised rows, 70 % for training."""
        if min(self.dim, self.depth, self.branching, self.siblings) < 1 or min(self.variance, self.factor) <= 0:
            raise UsageError(f"{self}: sizes must be at least 1, variance and factor positive")
        rng = np.random.default_rng(self.seed)
        parent, nodes, level = [-1], [np.zeros(self.dim)], [0]
        for depth in range(self.depth):
            for i in [i for i, l in enumerate(level) if l == depth]:
                for _ in range(self.branching):
                    parent.append(i)
                    level.append(depth + 1)
                    nodes.append(nodes[i] + self.variance**0.5 * rng.standard_normal(self.dim))
        values, n = np.stack(nodes), len(nodes)
        noise = rng.standard_normal((n, self.siblings, self.dim)) * (self.variance / self.factor) ** 0.5
        x = (values[:, None] + noise).reshape(-1, self.dim)
        x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
        node = np.repeat(np.arange(n), self.siblings)
        train, test = split(len(x), 0.3, self.seed)
        between = distances(np.array(parent))[np.ix_(node[test], node[test])]
        labels = np.array([self._branch(i, parent, level) for i in range(n)])[node]
        return check(
            Points(x[train], x[test], "normal", "tree", labels[train], labels[test], distances=between.astype(float))
        )

    @staticmethod
    def _branch(i: int, parent: list[int], level: list[int]) -> int:
        """The ancestor at depth 2, or the node itself nearer to the root."""
        while level[i] > 2:
            i = parent[i]
        return i


def distances(parent: np.ndarray) -> np.ndarray:
    """Numbers of edges (n, n) between the nodes of a tree, parents before children, the root's parent -1."""
    n = len(parent)
    d = np.zeros((n, n), int)
    for i in range(1, n):
        d[i, :i] = d[parent[i], :i] + 1
        d[:i, i] = d[i, :i]
    return d
