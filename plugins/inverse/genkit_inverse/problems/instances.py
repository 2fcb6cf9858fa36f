"""The mixture problem of 25 components with a random linear measurement, and its grid of times.

From the comparison of Cardoso et al. (MCGDiff, ICLR 2024, arXiv 2308.07983), used by Ekstrom Kelvinius et al. (DDSMC,
arXiv 2502.06379).
"""

from __future__ import annotations

import numpy as np

from genkit.errors import UsageError
from genkit.steer import Observation, dense, observe
from genkit_inverse.problems.mixture import PROCESS, Prior

CHAIN = 999  # steps of the discrete chain


def abar() -> np.ndarray:
    """abar_0 = 1 ... abar_999 of the chain, whose betas fall from 0.02 to 0.0001; (1000,) float64."""
    return np.cumprod(np.append(1.0, 1 - np.linspace(0.02, 1e-4, CHAIN)))


def indices(steps: int) -> np.ndarray:
    """Steps of the chain, 0 first, (steps,) int: sqrt(abar) falls evenly down to 0.01, the rest evenly spaced."""
    if steps < 4:
        raise UsageError(f"steps={steps} is too few; the grid of the mixture problem needs at least 4")
    root = np.sqrt(abar())
    end = int(np.argmax(root < 0.01))
    drop = (root[0] - root[end]) / (steps - 2)
    chosen = [0]
    for i in range(1, end):
        if len(chosen) < steps - 1 and root[chosen[-1]] - root[i] >= drop:
            chosen.append(i)
    rest = np.ceil(np.linspace(chosen[-1], CHAIN, steps - len(chosen) + 1)).astype(int)
    return np.array([*chosen, *rest[1:]])


def times(steps: int) -> tuple[float, ...]:
    """Those steps as times of `PROCESS`, decreasing, without the final zero: (steps - 1,)."""
    a = abar()[indices(steps)[:0:-1]]
    return tuple(float(t) for t in PROCESS.time(np.sqrt(1 / a - 1)))


def instance(seed: int, number: int, dx: int, dy: int) -> tuple[Prior, Observation]:
    """One random problem; the same for the same numbers whatever else is run."""
    if dx < 2 or dx % 2 or not 1 <= dy <= dx:
        raise UsageError(f"dx={dx}, dy={dy}; expected an even dx of at least 2 and 1 <= dy <= dx")
    rng = np.random.default_rng([seed, number, dx, dy])
    i, j = np.meshgrid(np.arange(-2, 3), np.arange(-2, 3), indexing="ij")
    means = np.tile(-8.0 * np.stack([i.ravel(), j.ravel()], 1), (1, dx // 2))
    w = rng.normal(size=25) ** 2
    u, _, vt = np.linalg.svd(rng.normal(size=(dy, dx)))
    s = np.sort(rng.uniform(size=dy))[::-1]
    std = rng.uniform() * s[0]
    x0 = means[rng.choice(25, p=w / w.sum())] + rng.normal(size=dx)
    matrix = (u * s) @ vt[:dy]
    y = matrix @ x0 + std * rng.normal(size=dy)
    return Prior(np.log(w / w.sum()), means), observe(dense(matrix), y, std)
