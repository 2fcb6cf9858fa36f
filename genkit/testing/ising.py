"""Ising models with an exact partition function."""

import numpy as np

from genkit.smc import FactorGraph, Factors


def ising_torus(rows: int, columns: int, coupling: float, magnetic: float = 0.0) -> FactorGraph:
    """Spins s = -1, +1 (values 0, 1), exp(coupling s_i s_j) on the edges of a periodic lattice, exp(magnetic s)."""
    site = np.arange(rows * columns).reshape(rows, columns)
    edges = [(int(a), int(b)) for axis in (0, 1) for a, b in zip(site.flat, np.roll(site, -1, axis).flat, strict=True)]
    s = np.array([-1.0, 1.0])
    pair = np.broadcast_to(coupling * np.outer(s, s), (len(edges), 2, 2))
    return FactorGraph(np.broadcast_to(magnetic * s, (site.size, 2)), (Factors(tuple(edges), pair),))


def ising_log_z(rows: int, columns: int, coupling: float) -> float:
    """log Z of `ising_torus` without a field, for a coupling above 0: Kaufman 1949."""
    k = np.arange(2 * columns)
    cosh = np.cosh(2 * coupling) ** 2 / np.sinh(2 * coupling) - np.cos(np.pi * k / columns)
    gamma = np.arccosh(np.maximum(cosh, 1.0))
    gamma[0] = 2 * coupling + np.log(np.tanh(coupling))  # its sign counts
    half = rows * gamma / 2
    terms = [np.log(2 * np.cosh(half[r::2])).sum() for r in (0, 1)]
    sines = [2 * np.sinh(half[r::2]) for r in (0, 1)]
    signs = [np.prod(np.sign(one)) for one in sines]
    terms += [np.log(np.abs(one)).sum() if sign else -np.inf for one, sign in zip(sines, signs, strict=True)]
    top = max(terms)
    total = top + np.log(np.dot([1, 1, *signs], np.exp(np.subtract(terms, top))))
    return float(total - np.log(2) + rows * columns / 2 * np.log(2 * np.sinh(2 * coupling)))
