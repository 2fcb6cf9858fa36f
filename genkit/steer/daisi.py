"""Data assimilation with inverse sampling: from the members of a forecast to those of an analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax

from genkit.chain import callable_tree
from genkit.diffusion import Denoiser, EulerMaruyama, Heun, invert, sample
from genkit.errors import UsageError
from genkit.kinds import Method
from genkit.steer.guided import MMPS
from genkit.steer.observation import Observation

Array = jax.Array


@dataclass(frozen=True)
class DAISI:
    """Data assimilation with inverse sampling (Andrae et al. 2025, arXiv 2512.00252), as Gaussian diffusion.

    Each member is taken towards noise, up to `level`, and comes back guided by the observation. The prior of the
    denoiser need not know the forecast: what the members know is in their states at `level`. Without noise the way is
    the probability flow, by Heun's method, and without an observation the member comes back (to the order of the
    steps); with noise it is an SDE of the same marginals both ways (to the order of the steps; on the way up exactly at
    noise 1), and from a high level the forecast is forgotten.
    The corrections of the paper's second version are not here.
    """

    level: float = 2.0
    """Noise level sigma / alpha to which the members are taken, in units of the denoiser's data."""
    noise: float = 0.0
    """Of the SDE: 0 is the probability flow, 1 the reverse SDE and plain noise on the way up."""
    steps: int = 12
    """Noise levels each way."""
    sigma_min: float = 0.03
    """Lowest noise level, for which the members are taken."""
    guidance: Method = field(default_factory=MMPS)
    """Whose rule guides, `MMPS`, `PiGDM` or `DPS`: its own levels and noise are not used."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.noise < 0:
            raise UsageError(f"noise={self.noise} is negative; 0 is the probability flow, 1 the reverse SDE")
        if not self.level > self.sigma_min:
            raise UsageError(f"level={self.level} is not above sigma_min={self.sigma_min}; choose a higher one")
        if not hasattr(self.guidance, "guidance"):
            raise UsageError(f"{type(self.guidance).__name__} guides no sampler of its own; take MMPS, PiGDM or DPS")
        _ = self.sampler

    @property
    def sampler(self) -> Heun | EulerMaruyama:
        """Of both ways."""
        grid = {"steps": self.steps, "sigma_min": self.sigma_min, "sigma_max": self.level}
        return EulerMaruyama(**grid, grid="logsnr", lam=self.noise) if self.noise else Heun(**grid)

    def __call__(
        self, key: Array, denoiser: Denoiser, observation: Observation | None, members: Array, cond: Any = None
    ) -> Array:
        """Members (M, ...) of the analysis.

        Args:
            key: of the noise.
            denoiser: the prior of a state, the same both ways.
            observation: of all members, in the units of the denoiser's data; None for none. For one each, vmap.
            members: those of the forecast (M, ...).
            cond: condition of each member for the denoiser, leaves (M, ...), or None.
        """
        up, down = jax.random.split(key)
        latent = invert(self.sampler, denoiser, members, cond, up)
        guided = callable_tree(denoiser)
        if observation is not None:
            guided = self.guidance.guidance(observation)(guided)  # type: ignore[attr-defined]
        return sample(down, self.sampler, guided, members.shape, cond, noise=latent)
