"""How near draws of the plane are to a density, from histograms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 100


class Divergences(NamedTuple):
    """Of two histograms of BINS x BINS cells."""

    kl: float
    """from generated to real, nats"""
    jsd: float
    """of Jensen and Shannon, at most log 2"""
    kl_ref: float
    """as in the code of Athanasiadis et al. 2025: densities, over the number of rows"""
    jsd_ref: float
    """likewise, with arguments exchanged, so that it has no bound"""


def histogram_divergences(real: np.ndarray, generated: np.ndarray, half: float) -> Divergences:
    """Of draws (n, 2) and (m, 2) in the square |x|, |y| <= half; those outside do not count."""
    edges = np.linspace(-half, half, BINS + 1)
    p, q = (np.histogram2d(*x.T, bins=(edges, edges), density=True)[0] for x in (real, generated))
    if not np.isfinite(q).all():  # no draw is inside
        q = np.zeros_like(p)
    cell, m, tiny = (2 * half / BINS) ** 2, (p + q) / 2, 1e-14

    def relative(a: np.ndarray, b: np.ndarray) -> float:
        return float((a * (np.log(np.where(a > 0, a, 1)) - np.log(b + tiny)))[a > 0].sum())

    kl, jsd, exchanged = relative(p, q), relative(p, m) + relative(q, m), relative(m, p) + relative(m, q)
    return Divergences(kl * cell, jsd * cell / 2, kl / BINS, exchanged / BINS / 2)
