"""Chains guided by a likelihood without weights, on linear operators: PiGDM and DPS."""

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
from genkit.steer.schedule import Levels, Schedule
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state in the basis of the operator, divided by alpha, and the guided x_0 there; both (n, d)."""

    z: Array
    x0: Array


@register_dataclass
@dataclass(frozen=True)
class Arrival:
    """Where a step ends and how it is guided there; leaves () for one step, (T,) for a stage."""

    time: Any
    alpha: Any
    factor: Any
    """of the gradient in what it adds to the denoised value"""
    spread2: Any
    """variance of x_0 in the likelihood"""


@register_dataclass
@dataclass(frozen=True)
class Guide:
    """D + factor J^T A^T w, with w = (spread2 A A^T + std^2 I)^-1 (y - A D), or (y - A D) / |y - A D|."""

    basis: Basis
    unit: bool = field(metadata={"static": True})
    """The latter."""

    def arrive(self, z: Array, u: Arrival) -> Particle:
        """Denoise and differentiate; one network call and its derivative."""
        s, c, std = self.basis.measured
        d, back = jax.vjp(lambda z: self.basis.denoised(z, u.time, u.alpha), z)
        gap = c - s * d[:, : s.size]
        if self.unit:
            length = jnp.sqrt((gap**2).sum(1, keepdims=True) + self.basis.observation.outside2)
            w = gap / jnp.maximum(length, 1e-12)
        else:
            w = gap / (u.spread2 * s**2 + std**2)
        (pull,) = back(jnp.pad(s * w, ((0, 0), (0, z.shape[1] - s.size))))
        return Particle(z, d + u.factor * pull)


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level."""

    guide: Guide
    std: Any
    u: Arrival

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        z = self.guide.basis.noise(keys)
        return self.guide.arrive(jnp.asarray(self.std, z.dtype) * z, self.u), None


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """DDIM towards the guided value."""

    guide: Guide

    def move(self, keys: Array, p: Particle, u: tuple[Any, Any, Arrival]) -> Particle:
        """x0 + keep (z - x0) + noise eps."""
        keep, noise, arrival = u
        return self.guide.arrive(p.x0 + keep * (p.z - p.x0) + noise * self.guide.basis.noise(keys), arrival)


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    std: Any
    first: Arrival
    steps: tuple[Any, Any, Arrival]
    unit: bool = field(metadata={"static": True})
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        guide = Guide(basis_of(self.process, denoiser, cond, observation), self.unit)
        return Model(Begin(guide, self.std, self.first), ((Step(guide), self.steps), (Items(guide.basis), np.zeros(1))))


@dataclass(frozen=True)
class Guided(Schedule):
    """Base of methods that guide DDIM: a subclass has `strength`. Approximate: samples are not weighed."""

    unit = False

    eta: float = 1.0
    """Noise of DDIM, 0 to 1."""

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor of the gradient and variance of x_0 at the levels, (T,); `keep` (T,) of the steps from there."""
        raise NotImplementedError(f"{type(self).__name__} has no strength")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        arrivals = Arrival(levels.t, levels.alpha, *self.strength(levels, np.append(keep, 0.0)))
        first, rest = (jax.tree.map(lambda a, which=which: a[which], arrivals) for which in (0, slice(1, None)))
        return Table(levels.start, first, (keep, noise, rest), self.unit, process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)


@dataclass(frozen=True)
class PiGDM(Guided):
    """PiGDM (Song et al., ICLR 2023): adds s^2 times the gradient of log N(y; A D, r^2 A A^T + std^2 I).

    r^2 = s^2 spread^2 / (s^2 + spread^2), which is exact for data N(m, spread^2 I). No inverse of a matrix: the
    covariance is diagonal in the basis of the operator.
    """

    eta: float = 0.2
    """Noise of DDIM, 0 to 1."""
    spread: float = 1.0
    """Standard deviation of the data."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.spread <= 0:
            raise UsageError(f"spread={self.spread} must be positive")

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s^2, and r^2."""
        s2 = levels.s**2
        return s2, s2 * self.spread**2 / (s2 + self.spread**2)


@dataclass(frozen=True)
class DPS(Guided):
    """DPS (Chung et al., ICLR 2023, arXiv 2209.14687): after each ancestral step, x' -= scale grad_x |y - A D(x)|.

    The std of the measurement is not used; `scale` stands for it, in the units of x and not of x / alpha. Made for
    many small steps: 1000 in the paper.
    """

    unit = True

    scale: float = 1.0
    """Size of the step down the gradient."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.scale <= 0:
            raise UsageError(f"scale={self.scale} must be positive")

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shift of x' as one of the denoised value, which moves the state by 1 - keep."""
        after = np.append(levels.alpha[1:], 1.0)
        return self.scale / (levels.alpha * after * (1 - keep)), np.zeros_like(keep)
