"""Clusters and neighbours under a geodesic distance."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit_latents.stats.frechet import distances, frechet_mean

Array = jax.Array


class Clusters(NamedTuple):
    """A partition."""

    labels: np.ndarray
    """(n,) int"""
    centres: np.ndarray
    """(k, *shape), or the numbers (k,) of the medoids"""
    cost: float
    """mean squared distance to the centre (medoids: mean distance)"""
    converged: bool
    """the partition no longer changes, and every centre is the mean it should be"""


def spread_out(d: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """k rows of a distance matrix (n, n), far from one another: k-means++ (Arthur and Vassilvitskii 2007)."""
    n = len(d)
    if not 1 <= k <= n:
        raise UsageError(f"{k} clusters of {n} points; expected 1 to {n}")
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(n))]
    for _ in range(k - 1):
        p = d[:, chosen].min(1) ** 2
        chosen.append(int(rng.choice(n, p=p / p.sum())) if p.sum() > 0 else int(rng.integers(n)))
    return np.array(chosen)


def geodesic_kmeans(
    manifold: Any, x: Any, k: int, seed: int = 0, iterations: int = 50, starts: int = 4, means: int = 200
) -> Clusters:
    """Lloyd's algorithm with geodesic distances and Frechet means, the best of several starts.

    `iterations` and `means` are the largest numbers of iterations, of the algorithm and of a mean.
    """
    x = jnp.asarray(x)
    full = distances(manifold, x, x)
    update = jax.jit(jax.vmap(lambda w, start: frechet_mean(manifold, x, w, start, means), (0, 0)))
    best: Clusters | None = None
    for run in range(starts):
        centres, labels, converged = x[spread_out(full, k, seed + run)], np.full(len(x), -1), False
        cost, found = np.inf, True
        for _ in range(iterations):
            d = distances(manifold, x, centres)
            new, cost = d.argmin(1), float(np.square(d.min(1)).mean())
            if converged := bool((new == labels).all()):
                converged = bool(found)
                break
            labels = new
            weights = np.eye(k, dtype=x.dtype)[labels].T
            kept = weights.sum(1, keepdims=True) > 0  # an empty cluster stays where it is
            moved = update(jnp.asarray(np.where(kept, weights, 1)), centres)
            centres = jnp.where(kept.reshape(-1, *[1] * (x.ndim - 1)), moved.point, centres)
            found = (moved.converged | ~kept[:, 0]).all()
        if best is None or cost < best.cost:
            best = Clusters(labels, np.asarray(centres), cost, converged)
    assert best is not None
    return best


def kmedoids(d: np.ndarray, k: int, seed: int = 0, iterations: int = 100, starts: int = 8) -> Clusters:
    """k-medoids on a distance matrix (n, n) by alternation, the best of several starts: no means are needed."""
    best: Clusters | None = None
    for run in range(starts):
        medoids, converged = spread_out(d, k, seed + run), False
        for _ in range(iterations):
            labels = d[:, medoids].argmin(1)
            members = [np.flatnonzero(labels == j) for j in range(k)]
            new = np.array(
                [m[d[np.ix_(m, m)].sum(1).argmin()] if len(m) else old for m, old in zip(members, medoids, strict=True)]
            )
            if converged := bool((new == medoids).all()):
                break
            medoids = new
        labels = d[:, medoids].argmin(1)
        cost = float(d[np.arange(len(d)), medoids[labels]].mean())
        if best is None or cost < best.cost:
            best = Clusters(labels, medoids, cost, converged)
    assert best is not None
    return best


def knn_accuracy(d: np.ndarray, train: np.ndarray, test: np.ndarray, k: int = 5) -> float:
    """Share of the labels `test` (m,) that the majority of the k nearest of `train` (n,) tells, from distances (m, n).

    Ties go to the class with the nearest member.
    """
    if not 1 <= k <= d.shape[1]:
        raise UsageError(f"k={k} neighbours of {d.shape[1]} points")
    near = np.argsort(d, 1)[:, :k]
    classes, coded = np.unique(train, return_inverse=True)
    votes = np.zeros((len(d), len(classes)))
    for place in range(k):
        votes[np.arange(len(d)), coded[near[:, place]]] += 1 + 1e-3 * (k - place)
    return float((classes[votes.argmax(1)] == test).mean())
