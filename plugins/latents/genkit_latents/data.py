"""What the data sets of this plugin give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit_latents.geometry import neighbour_pairs

COUNTS = "poisson", "negative_binomial"


@dataclass(frozen=True)
class Points:
    """Vectors split into train and test, with labels and with distances that a latent space should show, if known."""

    train: np.ndarray
    """(n, D) float32"""
    test: np.ndarray
    """(m, D) float32"""
    likelihood: str
    """The family that suits the data, as in `genkit_latents.geometry.likelihoods`."""
    source: str
    """What the data are, for messages and captions."""
    train_labels: np.ndarray | None = None
    """(n,) int"""
    test_labels: np.ndarray | None = None
    """(m,) int"""
    image: tuple[int, ...] | None = None
    """Height, width, and channels where there are some, where a row is an image."""
    distances: np.ndarray | None = None
    """(m, m) true distances between test rows; None where none are known."""


def check(data: Points) -> Points:
    """The data, or `DataError` that names what is wrong."""
    for name in ("train", "test"):
        x, labels = getattr(data, name), getattr(data, f"{name}_labels")
        if x.ndim != 2 or len(x) == 0 or x.shape[1] != data.train.shape[1]:
            raise DataError(f"{data.source}: {name} has shape {x.shape}; expected (n, {data.train.shape[1]}), n > 0")
        if not np.isfinite(x).all():
            raise DataError(f"{data.source}: {name} has a NaN in row {int(np.argwhere(~np.isfinite(x))[0][0])}")
        if data.likelihood == "bernoulli" and ((x < 0) | (x > 1)).any():
            raise DataError(f"{data.source}: {name} has values outside [0, 1], which bernoulli needs")
        if data.likelihood in COUNTS and ((x < 0) | (x % 1 > 0)).any():
            raise DataError(f"{data.source}: {name} has values that are no counts, which {data.likelihood} needs")
        if (labels is None) != (data.train_labels is None):
            raise DataError(f"{data.source}: train or test has labels, the other has none; give both or neither")
        if labels is not None and labels.shape != x.shape[:1]:
            raise DataError(f"{data.source}: {len(labels)} labels for {len(x)} rows of {name}")
    if data.distances is not None and data.distances.shape != (len(data.test),) * 2:
        raise DataError(f"{data.source}: distances have shape {data.distances.shape} for {len(data.test)} rows")
    return data


@dataclass(frozen=True)
class OnManifold:
    """Points of a manifold, split into train, validation and test."""

    manifold: Any
    train: np.ndarray
    """(n, *shape) float32"""
    val: np.ndarray
    test: np.ndarray
    source: str
    """What the data are, for messages and captions."""


def split(n: int, test: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows of train and test."""
    order = np.random.default_rng(seed).permutation(n)
    size = round(n * test)
    return np.sort(order[size:]), np.sort(order[:size])


def graph_distances(x: np.ndarray, neighbours: int = 8) -> np.ndarray:
    """Shortest paths (n, n) in the graph of nearest neighbours, as in Isomap (Tenenbaum et al. 2000).

    What is in parts is joined, see `neighbour_pairs`.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    pairs = neighbour_pairs(x, min(neighbours, len(x) - 1))
    lengths = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    return shortest_path(csr_matrix((lengths, pairs.T), shape=(len(x), len(x))), directed=False)
