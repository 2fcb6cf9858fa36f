"""How many prototypes are different: partial prototype collapse (arXiv 2410.14060)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from genkit.errors import DataError, UsageError

Rule = Literal["greedy", "components"]
ROWS = 2048  # of inner products that are in memory at a time
EPS = 0.025  # cosine distance of arXiv 2510.20108


def groups(prototypes: Any, eps: float = EPS, rule: Rule = "greedy") -> np.ndarray:
    """The group (K,) of each prototype (K, b): those within cosine distance `eps` of each other.

    greedy: one after the other, a prototype without a group leads a new one, which all without a group within eps of it
    join. components: chains of neighbours within eps are one group, so there are at most as many. Neither builds the
    matrix of all distances. Numbered by their first member.
    """
    w = np.asarray(prototypes, np.float32)
    if w.ndim != 2 or len(w) < 1:
        raise DataError(f"prototypes have shape {w.shape}; expected (K, b), one a row")
    length = np.linalg.norm(w, axis=1, keepdims=True)
    if not np.isfinite(w).all() or (length == 0).any():
        raise DataError("prototypes have rows that are zero, NaN or infinite; their directions are not defined")
    if not 0 < eps < 2 or rule not in get_args(Rule):
        raise UsageError(f"eps={eps}, rule={rule!r}; expected 0 < eps < 2 and {' or '.join(get_args(Rule))}")
    led = _greedy(w / length, eps)
    return _joined(w / length, eps, led) if rule == "components" else led


def _greedy(w: np.ndarray, eps: float) -> np.ndarray:
    group, found = np.full(len(w), -1), 0
    for first in range(0, len(w), ROWS):
        own = first + np.flatnonzero(group[first : first + ROWS] < 0)
        if not len(own):
            continue
        near = w[own] @ w[own].T > 1 - eps
        leaders = []
        free = np.ones(len(own), bool)
        for i in range(len(own)):
            if free[i]:
                members = free & near[i]
                members[i] = True  # rounding does not exclude oneself
                group[own[members]] = found + len(leaders)
                free &= ~members
                leaders.append(own[i])
        rest = first + ROWS + np.flatnonzero(group[first + ROWS :] < 0)
        for part in np.array_split(rest, max(1, -(-len(rest) * len(leaders) // (ROWS * 32768)))):
            close = w[part] @ w[leaders].T > 1 - eps
            joins = close.any(1)
            group[part[joins]] = found + close[joins].argmax(1)  # the first that leads
        found += len(leaders)
    return group


def _joined(w: np.ndarray, eps: float, group: np.ndarray) -> np.ndarray:
    """Groups of which members are neighbours made one; who has the same leader is connected already."""
    for first in range(0, len(w), ROWS // 4):
        rows = np.arange(first, min(first + ROWS // 4, len(w)))
        links = (w[rows] @ w[first:].T > 1 - eps) & (group[rows, None] != group[None, first:])
        i, j = np.nonzero(links)
        if len(i):
            size = group.max() + 1
            edges = np.unique(np.stack([group[rows[i]], group[first + j]]), axis=1)
            graph = coo_matrix((np.ones(edges.shape[1], np.int8), edges), (size, size))
            group = connected_components(graph, directed=False)[1][group]
    _, start, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(start))[inverse]


@dataclass(frozen=True)
class Collapse:
    """What the prototypes of a model look like."""

    prototypes: int
    """K"""
    unique: int
    """M(eps), the number of groups"""
    redundancy: dict[int, int] = field(default_factory=dict)
    """how many groups have that many members"""
    used: int | None = None
    """prototypes that are the most probable one of at least one sample"""
    entropy: float | None = None
    """of the mean probability over log K: 1 where all are used evenly"""
    redundant: float | None = None
    """probability that falls on groups of more than one"""

    @property
    def share(self) -> float:
        """M / K."""
        return self.unique / self.prototypes


def collapse(prototypes: Any, probs: Any = None, eps: float = EPS, rule: Rule = "greedy") -> Collapse:
    """The report of prototypes (K, b), with the teacher's probabilities (n, K) of samples where they are given."""
    group = groups(prototypes, eps, rule)
    size = np.bincount(group)
    counts = {int(r): int(n) for r, n in zip(*np.unique(size, return_counts=True), strict=True)}
    found = Collapse(len(group), len(size), counts)
    if probs is None:
        return found
    probs = np.asarray(probs)
    if probs.ndim != 2 or probs.shape[1] != len(group):
        raise DataError(f"probabilities have shape {probs.shape}; expected (n, {len(group)}), a column a prototype")
    mean = probs.mean(0, dtype=np.float64)
    spread = -(mean * np.log(np.maximum(mean, 1e-300))).sum() / np.log(max(len(group), 2))
    used, redundant = len(np.unique(probs.argmax(1))), float(mean[size[group] > 1].sum())
    return Collapse(len(group), len(size), counts, used, float(spread), redundant)
