"""Decoupled annealing posterior sampling for linear measurements."""

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
from genkit.steer.ddsmc import Path, condition, flow_paths, reconstruct
from genkit.steer.operators import Observation
from genkit.steer.schedule import Schedule
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """The sample of x_0 at a level, (n, d) in the basis of the operator."""

    x0: Array


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Of a step; leaves () for one step, (T,) for a stage."""

    noise: Any
    """put on x_0"""
    rho2: Any
    """variance of the reconstruction"""
    path: Path


@register_dataclass
@dataclass(frozen=True)
class Anneal(Kernel):
    """Noise on x_0, the flow back, and an exact draw of N(x_0, rho^2 I) given y."""

    basis: Basis

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """x_0 at the next level."""
        forward, back = jax.vmap(lambda key: jax.random.split(key), out_axes=1)(keys)
        x0 = reconstruct(self.basis, p.x0 + u.noise * self.basis.noise(forward), u.path)
        seen, mean = condition(self.basis.observation, x0, u.rho2)
        return Particle(mean + jnp.sqrt(u.rho2 * (1 - seen)) * self.basis.noise(back))


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Zeros: the noise of the first level is all there is."""

    basis: Basis

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        return Particle(jnp.zeros_like(self.basis.noise(keys))), None


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    steps: Inputs
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        return Model(Begin(basis), ((Anneal(basis), self.steps), (Items(basis), np.zeros(1))))


@dataclass(frozen=True)
class DAPS(Schedule):
    """DAPS (Zhang et al. 2024, arXiv 2407.01521): noise, the flow back, a draw given y, at falling levels; no weights.

    x_0 | x_t is taken for N(f(x_t), s_t^2 I). For linear measurements its draw given y is exact, where the paper runs
    Langevin steps. Their setting is `steps=200, sigma_min=0.1, sigma_max=100` and flows of 5 Euler steps.
    """

    inner: int | None = 5
    """Most steps of a flow, of the levels that remain; none is all."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.inner is not None and self.inner < 1:
            raise UsageError(f"inner={self.inner} is too few; the flow needs at least 1 step")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        noise = np.insert(levels.s[1:], 0, levels.start)
        return Table(Inputs(noise, levels.s**2, flow_paths(levels, self.inner)), process)

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return int(self.table(process).steps.path.count.sum())

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
