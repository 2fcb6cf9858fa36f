"""log Z of a factor graph by elimination: exact, where an order of the variables keeps the tables small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genkit.smc.graphs.orders import Neighbours, variable_order

MOST = 2**22  # entries of a table
TRIED = ("given", "breadth_first", "least_degree")


def eliminate(
    unary: np.ndarray, factors: Sequence[tuple[tuple[int, ...], np.ndarray]], neighbours: Neighbours
) -> float | None:
    """log Z, in numpy float64; None where every order tried needs a table of more than `MOST` entries.

    Args:
        unary: (V, K) log-potentials.
        factors: (variables, table with an axis of K for each).
        neighbours: for each variable those that share a factor with it.
    """
    k = unary.shape[1]
    order = min((variable_order(name, neighbours) for name in TRIED), key=lambda order: width(neighbours, order))
    if k ** (width(neighbours, order) + 1) > MOST:
        return None
    left = [((v,), row) for v, row in enumerate(unary)] + list(factors)
    total = 0.0
    for v in reversed(order):
        met = [one for one in left if v in one[0]]
        left = [one for one in left if v not in one[0]]
        scope = (*sorted({i for s, _ in met for i in s} - {v}), v)
        joint = np.zeros((1,) * len(scope))
        for s, table in met:
            where = sorted(range(len(s)), key=lambda axis, s=s: scope.index(s[axis]))
            joint = joint + table.transpose(where).reshape([k if i in s else 1 for i in scope])
        summed = _log_sum(joint)
        if len(scope) > 1:
            left.append((scope[:-1], summed))
        else:
            total += float(summed)
    return total


def width(neighbours: Neighbours, order: Sequence[int]) -> int:
    """The most variables that a table has when one is eliminated, itself not counted; the last of the order first."""
    near = [set(n) for n in neighbours]
    most = 0
    for v in reversed(order):
        most = max(most, len(near[v]))
        for i in near[v]:
            near[i] = (near[i] | near[v]) - {i, v}
    return most


def _log_sum(joint: np.ndarray) -> np.ndarray:
    """Log of the sum over the last axis; without warnings where all is excluded."""
    top = joint.max(-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(joint - shift).sum(-1)) + shift[..., 0]
