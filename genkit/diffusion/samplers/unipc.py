"""The unified predictor-corrector of Zhao et al. 2023."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.errors import UsageError

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


@dataclass(frozen=True)
class UniPC(LinearSampler):
    """UniPC-p (Zhao et al. 2023, arXiv 2302.04867) on denoised values: N network calls, order p + 1 in log s.

    A step predicts with the polynomial through the last p denoised values, and at its end corrects with that through
    the new one too (UniC), at no further call: the network was asked at the predicted state, and its answer serves on.
    The paper's factors B(h) drop out but for p = 1 and the predictor of p = 2, where theirs (`bh2`) are not those of
    the polynomial; orders are the same. The first steps are of lower orders, the last state is not corrected.
    """

    order: int = 2
    """p, 1 to 3."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.order not in (1, 2, 3):
            raise UsageError(f"order={self.order} must be 1, 2 or 3")

    @property
    def past(self) -> int:  # type: ignore[override]
        """Denoised values of earlier steps."""
        return self.order

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """x + (corrected - predicted) of the step before, then (s1/s) x + sum_k w_k D_k."""
        lam = -np.log(np.stack([at.s1, at.s, *at.before], 1))  # of the end, the state, and the values before
        correct, predict = np.zeros((2, len(lam), len(d)))
        for i, row in enumerate(lam):
            if i > 0:
                p = min(i, self.order)
                correct[i, : p + 1] = adams(row[1 : p + 2], row[2], row[1])
                correct[i, 1 : p + 1] -= adams(row[2 : p + 2], row[2], row[1])
            p = min(i + 1, self.order)
            predict[i, :p] = adams(row[1 : p + 1], row[1], row[0])
        ratio = at.s1 / at.s
        total = ratio * x
        for k, value in enumerate(d):
            total = total + (ratio * correct[:, k] + predict[:, k]) * value
        return total


def adams(nodes: np.ndarray, first: float, last: float) -> np.ndarray:
    """Weights (K,) of values of D at `nodes` in s1 int exp(l) D(l) dl from `first` to `last`, D their polynomial in l.

    The exponential integrator of dx/dl = D - x for x = state / alpha, l = -log s.
    """
    h = last - first
    r = (NODES + 1) / 2
    mass = WEIGHTS / 2 * h * np.exp(-h * (1 - r))
    powers = np.arange(len(nodes))
    return np.linalg.solve(((nodes - first) / h) ** powers[:, None], (r ** powers[:, None]) @ mass)
