"""DEIS: Adams-Bashforth for the noise that the network sees."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.errors import UsageError

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


@dataclass(frozen=True)
class DEIS(LinearSampler):
    """tAB-DEIS (Zhang and Chen 2023, arXiv 2204.13902): N network calls, order `order` + 1.

    For x = state / alpha the ODE is dx/ds = eps, the noise (x - D)/s, which is extrapolated from the last values by a
    polynomial in the time of the process. Order 0 is `Euler`. The paper takes order 3, from 10 steps, on the grid
    `quadratic` of VP. The first steps are of lower orders, which shows where they change the noise.
    """

    order: int = 3
    """Degree of the polynomial, 0 to 3."""

    past_noise = True

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.order not in range(4):
            raise UsageError(f"order={self.order} must be 0, 1, 2 or 3")

    @property
    def past(self) -> int:  # type: ignore[override]
        """Noises of earlier steps."""
        return self.order

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """x + sum_k w_k eps_k, w_k the integral over s of the k-th Lagrange polynomial in t."""
        eps = [(x - d[0]) / at.s, *d[1:]]
        w = np.zeros((len(at.s), len(eps)))
        s, s1 = at.s[:, None], at.s1[:, None]
        nodes = np.exp(np.log(s) + np.log(s1 / s) * (NODES + 1) / 2)  # of the integral, in log s
        mass = WEIGHTS / 2 * np.log(s1 / s) * nodes
        times = at.process.time(nodes)
        for i in range(len(w)):
            p = min(i, self.order) + 1
            known = np.array([at.t[i], *(at.process.time(before[i]) for before in at.before[: p - 1])])
            scale = at.t1[i] - at.t[i]
            powers = np.arange(p)[:, None]
            moments = (((times[i] - at.t[i]) / scale) ** powers) @ mass[i]
            w[i, :p] = np.linalg.solve(((known - at.t[i]) / scale) ** powers, moments)
        total = x
        for k, value in enumerate(eps):
            total = total + w[:, k] * value
        return total
