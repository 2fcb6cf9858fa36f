"""Denoising diffusion restoration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.diffusion import EDM, Denoiser, Process, process_of
from genkit.errors import UsageError
from genkit.steer.basis import Basis, Items, basis_of
from genkit.steer.operators import Observation
from genkit.steer.schedule import Schedule
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state in the basis of the operator, divided by alpha, and the denoised x_0 there; both (n, d)."""

    z: Array
    x0: Array


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Of a step, or of the beginning; leaves () for one step, (T,) for a stage."""

    before: Any
    """level at the beginning"""
    s: Any
    """level at the end"""
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise about y where the measurement is the more precise, about zero elsewhere."""

    basis: Basis
    u: Inputs

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        s, c, std = self.basis.measured
        z = self.u.before * self.basis.noise(keys)
        own = (std / s) ** 2
        precise = self.u.before**2 > own
        share = jnp.sqrt(jnp.where(precise, 1 - own / self.u.before**2, 1.0))
        z = z.at[:, : s.size].set(jnp.where(precise, c / s, 0.0) + share * z[:, : s.size])
        return Particle(z, self.basis.denoised(z, self.u.time, self.u.alpha)), None


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """Equations 7 and 8 of the paper, a coordinate at a time."""

    basis: Basis
    eta: Any
    eta_b: Any

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """The next level."""
        s, c, std = self.basis.measured
        r, own, root = s.size, std / s, jnp.sqrt(1 - self.eta**2)
        eps = self.basis.noise(keys)
        free = p.x0 + root * u.s / u.before * (p.z - p.x0) + self.eta * u.s * eps
        seen, y = p.x0[:, :r], c / s
        noisy = seen + root * u.s / own * (y - seen) + self.eta * u.s * eps[:, :r]
        width = jnp.sqrt(jnp.maximum(u.s**2 - (self.eta_b * own) ** 2, 0.0))
        precise = (1 - self.eta_b) * seen + self.eta_b * y + width * eps[:, :r]
        z = free.at[:, :r].set(jnp.where(u.s < own, noisy, precise))
        return Particle(z, self.basis.denoised(z, u.time, u.alpha))


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    first: Inputs
    steps: Inputs
    eta: Any
    eta_b: Any
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        step = Step(basis, self.eta, self.eta_b)
        return Model(Begin(basis, self.first), ((step, self.steps), (Items(basis), np.zeros(1))))


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
        arrivals = Inputs(np.insert(levels.s[:-1], 0, levels.start), levels.s, levels.t, levels.alpha)
        first, rest = (jax.tree.map(lambda a, which=which: a[which], arrivals) for which in (0, slice(1, None)))
        return Table(first, rest, self.eta, self.eta_b, process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
