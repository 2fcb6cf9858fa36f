"""Rows of `core.fidelity` for categorical processes: exact laws of samples, no Monte-Carlo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from genkit.bench.rows import Row
from genkit.discrete import Ancestral, Linear, masked, steps, uniform
from genkit.testing import discrete_denoiser, exact_law

SAME = np.array([[0.4, 0.1], [0.1, 0.4]])  # law of two bits
PAIR = np.array([[0.5, 0.1], [0.15, 0.25]])
# Steps T: P(both bits equal) is .8 (1 - 1/T) + .5/T, as bits that show in one step are independent.
MASKED = ((1, 0.5), (2, 0.65), (4, 0.725), (16, 0.78125))
# Total variation to PAIR, .22/T.
APART = ((1, 0.22), (8, 0.0275), (64, 0.0034375))
# p(x_t = x_0) and p(x_t = another class) of uniform noise on five classes.
KEPT = ((0.9, 0.92, 0.02), (0.5, 0.6, 0.1), (0.1, 0.28, 0.18))
# The reverse chain of uniform noise, beta from .02 to .2 in 50 steps, from p = (.6, .3, .1); off by its prior alone.
REVERSED = (0.59999817, 0.30000104, 0.10000079)


def categorical() -> Iterator[Row]:
    """Austin et al. 2021 (D3PM, arXiv 2107.03006); Sahoo et al. 2024 (masks, arXiv 2406.07524)."""
    for alpha, same, other in KEPT:
        q = np.exp(uniform(5, steps([1.0, alpha])).log_qbar(jnp.array([[2]]), jnp.asarray(1.0)))[0, 0]
        yield Row(f"D3PM uniform, K = 5: kept at abar = {alpha:g}", q[2], "", same, 1e-12)
        yield Row(f"D3PM uniform, K = 5: another class at abar = {alpha:g}", q[0], "", other, 1e-12)
    alphas = np.cumprod(np.append(1, 1 - np.linspace(0.02, 0.2, 50)))
    end = law(Ancestral(uniform(3, steps(alphas))), np.array([0.6, 0.3, 0.1]))
    for k, expected in enumerate(REVERSED):
        yield Row(f"D3PM uniform, reversed: class {k}", end[k], "", expected, 5e-8)
    for count, expected in MASKED:
        same = np.trace(shown(law(Ancestral(masked(2, Linear()), count), SAME)))
        yield Row(f"masks, {count} steps: P(equal bits)", same, "", expected, 1e-12)
    for count, expected in APART:
        far = np.abs(shown(law(Ancestral(masked(2, Linear()), count), PAIR)) - PAIR).sum() / 2
        yield Row(f"masks, {count} steps: total variation", far, "", expected, 1e-10)


def law(sampler: Any, table: np.ndarray) -> np.ndarray:
    """Law of the samples with the exact denoiser of a table of probabilities."""
    process, sites = sampler.process, table.ndim
    model = sampler.model(discrete_denoiser(table, process), (process.states**sites, sites))
    return np.asarray(exact_law(model, sites, process.states))


def shown(end: np.ndarray) -> np.ndarray:
    """The part of a law without mask symbols."""
    return end[(slice(-1),) * end.ndim]
