"""Euler-Maruyama on the family of reverse SDEs."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion.process import EDM, Process
from genkit.diffusion.samplers.linear import Levels, LinearSampler, Sum
from genkit.diffusion.samplers.table import Table
from genkit.errors import UsageError


@dataclass(frozen=True)
class EulerMaruyama(LinearSampler):
    """Euler-Maruyama in the time of the process: N network calls, weak order 1.

    dx = [f x - (1 + lam^2)/2 g^2 score] dt + lam g dW backwards in time (Song et al. 2021, arXiv 2011.13456; Zhang and
    Chen 2023, arXiv 2204.13902): lam = 0 is the probability-flow ODE, 1 the reverse SDE; all have the same marginals.
    Towards noise (`genkit.diffusion.invert`) the factor is (1 - lam^2)/2; with a denoised value D that stands through a
    step, the SDE has a closed form: x / alpha - D grows by (s' / s)^(1 - lam^2), and noise fills its variance from s^2
    up to s'^2. With lam = 1 the network has no say and the law of each level is exact.
    """

    lam: float = 1.0
    """Amount of noise."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.lam < 0:
            raise UsageError(f"lam={self.lam} is negative; 0 is the ODE, 1 the reverse SDE")

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable) -> Sum:
        """score = (alpha D - x)/sigma^2; symbols are divided by alpha, so the step is by alpha / alpha'."""
        if (at.s1 > at.s).all():
            grown = (at.s1 / at.s) ** (1 - self.lam**2)
            return d[0] + grown * (x - d[0]) + np.sqrt(at.s1**2 - (grown * at.s) ** 2) * at.eps
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):  # also inside jit
            f, g2 = (np.asarray(a) for a in at.process.drift_diffusion(jnp.asarray(at.t)))
        alpha, alpha1, h = at.process.alpha(at.t), at.process.alpha(at.t1), at.t - at.t1
        pull = (1 + self.lam**2) / 2 * g2 / (alpha * at.s) ** 2
        moved = x - h * (f * x - pull * (d[0] - x))
        return alpha / alpha1 * moved + self.lam * np.sqrt(g2 * h) / alpha1 * at.eps

    def inversion(self, process: Process = EDM()) -> Table:
        """Coefficients of the SDE of the same marginals from the lowest level to the highest."""
        return self._table(process, self.time_grid(process)[::-1], False)
