"""The twisted diffusion sampler for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

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
    """A state in the basis of the operator, divided by alpha, and the twisting function there."""

    z: Array
    """(n, d) state"""
    x0: Array
    """(n, d) denoised"""
    pull: Array
    """(n, d) s^2 times the gradient of `log_lik`: what it adds to the denoised value"""
    log_lik: Array
    """(n,) log N(y; A x0, std^2 I)"""


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Of a step; leaves () for one step, (T,) for a stage."""

    keep: Any
    noise: Any
    s: Any
    """level of arrival"""
    time: Any
    alpha: Any


def arrive(basis: Basis, z: Array, u: Any, clip: Any) -> Particle:
    """Denoise, weigh and differentiate; one network call and its derivative."""

    def value(z: Array) -> tuple[Array, tuple[Array, Array]]:
        x0 = basis.denoised(z, u.time, u.alpha)
        log_lik = basis.observation.log_prob(x0)
        return log_lik.sum(), (x0, log_lik)

    gradient, (x0, log_lik) = jax.grad(value, has_aux=True)(z)
    pull = jnp.asarray(u.s, z.dtype) ** 2 * gradient
    length = jnp.linalg.norm(pull, axis=1, keepdims=True)
    return Particle(z, x0, pull * jnp.minimum(1.0, clip / jnp.maximum(length, 1e-30)), log_lik)


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level, weighed by the twisting function."""

    basis: Basis
    std: Any
    u: Inputs
    clip: Any

    def __call__(self, keys: Array) -> tuple[Particle, Array]:
        """Particles and log G_T."""
        z = self.basis.noise(keys)
        p = arrive(self.basis, jnp.asarray(self.std, z.dtype) * z, self.u, self.clip)
        return p, p.log_lik


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """A step of DDIM with the twisted score."""

    basis: Basis
    clip: Any

    @staticmethod
    def _mean(p: Particle, u: Inputs, d: Array) -> Array:
        return d + u.keep * (p.z - d)

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """Draw with the twisted denoised value."""
        z = self._mean(p, u, p.x0 + p.pull) + u.noise * self.basis.noise(keys)
        return arrive(self.basis, z, u, self.clip)

    def log_g(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """Ratio of the twisting functions times that of prior and proposal."""
        free, twisted = (p1.z - self._mean(p, u, d) for d in (p.x0, p.x0 + p.pull))
        return p1.log_lik - p.log_lik + ((twisted**2 - free**2) / (2 * u.noise**2)).sum(1)

    def log_prob(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """log density of the arrival's `z`, (n,)."""
        gap = (p1.z - self._mean(p, u, p.x0 + p.pull)) / u.noise
        return -0.5 * (gap**2 + jnp.log(2 * jnp.pi * u.noise**2)).sum(1)


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    std: Any
    first: Inputs
    steps: Inputs
    clip: Any
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        begin = Begin(basis, self.std, self.first, self.clip)
        return Model(begin, ((Step(basis, self.clip), self.steps), (Items(basis), self.first.s[None])))


@dataclass(frozen=True)
class TDS(Schedule):
    """TDS (Wu et al. 2023, arXiv 2306.17775): DDIM with the score of N(y; A D(x_t), std^2 I) added, and weights.

    The target is the unconditional chain times the likelihood of its end: the last step x_0 = D(x_1) changes no
    weight. Needs a derivative of the network in each of its T calls. The twisting function is far too narrow at high
    noise levels, so that without `clip` particles can be thrown far away on coarse grids.
    """

    eta: float = 1.0
    """Noise of DDIM, above 0 to 1."""
    clip: float | None = None
    """Longest shift of the denoised value, a Euclidean norm; any if none."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside (0, 1]; the weights need a density of the step")
        if self.clip is not None and self.clip <= 0:
            raise UsageError(f"clip={self.clip} must be positive")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        arrivals = Inputs(None, None, levels.s, levels.t, levels.alpha)
        first, rest = (jax.tree.map(lambda a, which=which: a[which], arrivals) for which in (0, slice(1, None)))
        steps = Inputs(keep, noise, rest.s, rest.time, rest.alpha)
        return Table(levels.start, first, steps, float("inf") if self.clip is None else self.clip, process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
