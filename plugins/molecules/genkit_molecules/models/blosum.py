"""Noise that exchanges amino acids as evolution does: D3PM-BLOSUM of EvoDiff (arXiv 2309.04175)."""

from __future__ import annotations

import numpy as np

from genkit.discrete import Dense, dense
from genkit.errors import UsageError
from genkit_molecules.items import AMINO

# BLOSUM62 (Henikoff and Henikoff 1992, PNAS 89, 10915) in half bits, the lower triangle in this order.
ORDER = "ARNDCQEGHILKMFPSTWYV"
HALF_BITS = """
4
-1 5
-2 0 6
-2 -2 1 6
0 -3 -3 -3 9
-1 1 0 0 -3 5
-1 0 0 2 -4 2 5
0 -2 0 -1 -3 -2 -2 6
-2 0 1 -1 -3 0 0 -2 8
-1 -3 -3 -3 -1 -3 -3 -4 -3 4
-1 -2 -3 -4 -1 -2 -3 -4 -3 2 4
-1 2 0 -1 -3 1 1 -2 -1 -3 -2 5
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1 5
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0 6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4 7
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1 4
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1 5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2 7
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1 4
"""
GROWTH = 6.0  # log of the last beta over the first


def blosum62() -> np.ndarray:
    """(20, 20) half bits, in the order of AMINO."""
    score = np.zeros((len(ORDER), len(ORDER)))
    for i, line in enumerate(HALF_BITS.split("\n")[1:-1]):
        score[i, : i + 1] = score[: i + 1, i] = [float(word) for word in line.split()]
    place = [ORDER.index(letter) for letter in AMINO]
    return score[np.ix_(place, place)]


def doubly_stochastic(weights: np.ndarray) -> np.ndarray:
    """D S D of a symmetric positive matrix S whose rows and columns sum to 1 (Sinkhorn and Knopp 1967).

    Scaling rows or columns first, as a softmax does, changes nothing.
    """
    scale = np.ones(len(weights))
    while np.abs(scale * (weights @ scale) - 1).max() > 1e-12:
        scale = np.sqrt(scale / (weights @ scale))
    return scale[:, None] * weights * scale


def blosum(weights: np.ndarray, length: int, likelihood: bool = True) -> Dense:
    """The chain of so many steps Q_t = (1 - beta_t) I + beta_t M; samples start from the letters' law after it.

    M is the softmax of BLOSUM62, made doubly stochastic; beta grows exponentially to 1. Its limit is uniform, which
    letters that seldom change are far from: tryptophan stays itself with probability 0.85 in 500 steps. EvoDiff has
    rows for rare and unknown letters too. Raises UsageError for another alphabet than that of the 20 amino acids.

    Args:
        weights: (K,) frequencies of the letters, in the order of AMINO.
        length: steps.
        likelihood: see `genkit.discrete.Process.likelihood`.
    """
    if len(weights) != len(AMINO):
        raise UsageError(f"blosum noise is of the 20 amino acids; these data have {len(weights)} letters: gaps=remove "
                         "and odd=drop leave no others")  # fmt: skip
    move = doubly_stochastic(np.exp(blosum62()))
    growth = np.exp(np.linspace(0, GROWTH, length))
    beta = np.minimum(growth / growth[-1] + 1 / length, 1.0)[:, None, None]
    matrices = (1 - beta) * np.eye(len(weights)) + beta * move
    prior = weights / weights.sum()
    for one in matrices:
        prior = prior @ one
    return dense(matrices, prior, likelihood)
