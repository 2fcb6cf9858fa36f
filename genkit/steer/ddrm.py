"""Denoising diffusion restoration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.method import Schedule, Steps, Table, first_rest
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class DDRM(Schedule):
    """DDRM (Kawar et al. 2022, arXiv 2201.11793): a chain whose every coordinate has the noise of its level.

    Where the measurement of a coordinate, y / s with noise std / s, is noisier than the level, it takes the place of
    the state in DDIM's step; where it is more precise, the step goes to y itself. No derivative, no weights.
    """

    eta: float = 0.85
    """Share of fresh noise, 0 to 1."""
    eta_b: float = 1.0
    """Share of y where it is the more precise, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        for name in ("eta", "eta_b"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}={getattr(self, name)} is outside [0, 1]")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        before = np.insert(levels.s[:-1], 0, levels.start)
        first, rest = first_rest(Inputs(before, levels.s, levels.t, levels.alpha))
        return Table((Restored(eta=self.eta, eta_b=self.eta_b),), first, (rest,), np.zeros(1), process)


class Particle(NamedTuple):
    """A state in the basis of the operator, divided by alpha, and the denoised x_0 there; both (n, d)."""

    z: Array
    x0: Array


class Inputs(NamedTuple):
    """Of a step, or of the beginning; leaves () for one step, (T,) for a stage."""

    before: Any
    """level at the beginning"""
    s: Any
    """level at the end"""
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Restored(Steps):
    """Equations 7 and 8 of the paper, a coordinate at a time."""

    name = "DDRM"
    needs = ("singular values", "normal noise")

    eta: Any = None
    eta_b: Any = None

    def begin(self, keys: Array, first: Inputs) -> tuple[Particle, None]:
        """Noise about y where the measurement is the more precise, about zero elsewhere."""
        s, c, std = self.basis.measured
        z = first.before * self.basis.noise(keys)
        gap2 = first.s**2 - (std / s) ** 2
        near = c / s + jnp.sqrt(jnp.maximum(gap2, 0.0)) / first.before * z[:, : s.size]
        z = z.at[:, : s.size].set(jnp.where(gap2 > 0, near, z[:, : s.size]))
        return Particle(z, self.basis.denoised(z, first.time, first.alpha)), None

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """The next level."""
        s, c, std = self.basis.measured
        r, own, root = s.size, std / s, jnp.sqrt(1 - self.eta**2)
        eps = self.basis.noise(keys)
        free = p.x0 + root * u.s / u.before * (p.z - p.x0) + self.eta * u.s * eps
        seen, y, noisier = p.x0[:, :r], c / s, u.s < own
        noisy = seen + root * u.s / jnp.where(noisier, own, 1.0) * (y - seen) + self.eta * u.s * eps[:, :r]
        width = jnp.sqrt(jnp.maximum(u.s**2 - (self.eta_b * own) ** 2, 0.0))
        precise = (1 - self.eta_b) * seen + self.eta_b * y + width * eps[:, :r]
        z = free.at[:, :r].set(jnp.where(noisier, noisy, precise))
        return Particle(z, self.basis.denoised(z, u.time, u.alpha))

    def end(self, keys: Array, p: Particle, last: Any) -> Array:
        """The step to level zero: D, and y where it is measured without noise."""
        s, c, std = self.basis.measured
        seen = p.x0[:, : s.size]
        exact = (1 - self.eta_b) * seen + self.eta_b * c / s
        x0 = p.x0.at[:, : s.size].set(jnp.where(std > 0, seen, exact))
        return self.basis.observation.operator.from_basis(x0)
