"""Rules that connect two sets of points of any dimension: pairs (senders, receivers) of numbers, by KD-tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from genkit.errors import UsageError

Pairs = tuple[np.ndarray, np.ndarray]
Method = Literal["rule", "radius", "relative_radius", "nearest", "containing_rectangle", "containing_triangle"]


@dataclass(frozen=True)
class Connection:
    """How nodes find their partners."""

    method: Method = "rule"
    """rule: as usual for the mesh; radius: all within a distance in the units of the coordinates; relative_radius: the
    same in units of the longest edge of the finest mesh level; nearest: the k nearest; containing_rectangle: the
    corners of the mesh rectangle around a node; containing_triangle: those of the mesh triangle"""
    radius: float = 0.67
    """for radius and relative_radius"""
    k: int = 4
    """for nearest"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.radius <= 0 or self.k < 1:
            raise UsageError(f"a connection needs a positive radius and k, got radius={self.radius}, k={self.k}")

    def or_rule(self, usual: Connection) -> Connection:
        """This one, or the usual one where the rule of the mesh is asked for."""
        return usual if self.method == "rule" else self


def within(senders: np.ndarray, receivers: np.ndarray, radius: float) -> Pairs:
    """All pairs at a distance of at most `radius`."""
    reach = radius * (1 + 1e-9)  # points that lie exactly on the circle are in, whatever the rounding
    found = KDTree(receivers).sparse_distance_matrix(KDTree(senders), reach, output_type="ndarray")
    return found["j"], found["i"]


def nearest(senders: np.ndarray, receivers: np.ndarray, k: int) -> Pairs:
    """For each receiver its k nearest senders."""
    if k > len(senders):
        raise UsageError(
            f"{k} nearest nodes of a set of {len(senders)} were asked for; ask for fewer or refine the mesh"
        )
    _, index = KDTree(senders).query(receivers, k=k)
    index = index.reshape(len(receivers), k)
    return index.ravel(), np.repeat(np.arange(len(receivers)), k)


def containing_rectangle(senders: np.ndarray, receivers: np.ndarray, spacing: np.ndarray) -> Pairs:
    """For each receiver the senders, nodes of a lattice of this spacing, with |dx| < Dx and |dy| < Dy: up to 4."""
    found = KDTree(receivers / spacing).query_ball_tree(KDTree(senders / spacing), 1 - 1e-9, p=np.inf)
    counts = np.fromiter(map(len, found), int, len(found))
    return np.concatenate([np.asarray(f, int) for f in found]), np.repeat(np.arange(len(receivers)), counts)


def reversed_pairs(pairs: Pairs) -> Pairs:
    """The same pairs in the other direction."""
    return pairs[1], pairs[0]


def planar_features(senders: np.ndarray, receivers: np.ndarray, pairs: Pairs) -> np.ndarray:
    """(E, 3) length, dx, dy of sender minus receiver."""
    difference = senders[pairs[0]] - receivers[pairs[1]]
    return np.concatenate([np.linalg.norm(difference, axis=1, keepdims=True), difference], 1)
