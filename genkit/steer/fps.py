"""Filtering posterior sampling for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from genkit.chain import Kernel, Model, State
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
    """A state and its reconstruction, in the basis of the operator and divided by alpha; both (n, d)."""

    z: Array
    x0: Array


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """How a level is reached; leaves () for one step, (T,) for a stage."""

    keep: Any
    noise: Any
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """A step conditioned on the noised measurement of its arrival, whose weight is known before it.

    The population shares one sequence of noised measurements, kept as v (r,): values of the measured coordinates.
    """

    basis: Basis

    def plan(self, key: Array, state: State, u: Inputs) -> tuple[tuple[Inputs, Array], Array]:
        """The next v, by the chain's step with the measurement itself in place of the denoised value."""
        s, c, _ = self.basis.measured
        v = c / s + u.keep * (state.shared - c / s) + u.noise * jax.random.normal(key, c.shape, c.dtype)
        return (u, v), v

    def look(self, keys: Array, p: Particle, u: tuple[Inputs, Array]) -> tuple[Particle, Array]:
        """log p(s v | p), the density of the noised measurement."""
        s, _, std = self.basis.measured
        coefficients, v = u
        mean = self._mean(p, coefficients)[:, : s.size]
        spread = jnp.sqrt(std**2 + (s * coefficients.noise) ** 2)
        return p, norm.logpdf(s * v, s * mean, spread).sum(1)

    def move(self, keys: Array, p: Particle, u: tuple[Inputs, Array]) -> Particle:
        """Draw given v; one network call."""
        s, _, std = self.basis.measured
        coefficients, v = u
        mean, eps = self._mean(p, coefficients), self.basis.noise(keys)
        own2, noise2 = (std / s) ** 2, coefficients.noise**2
        share = noise2 / (noise2 + own2)
        seen = mean[:, : s.size] + share * (v - mean[:, : s.size]) + jnp.sqrt(share * own2) * eps[:, : s.size]
        z = (mean + coefficients.noise * eps).at[:, : s.size].set(seen)
        return Particle(z, self.basis.denoised(z, coefficients.time, coefficients.alpha))

    @staticmethod
    def _mean(p: Particle, u: Inputs) -> Array:
        return p.x0 + u.keep * (p.z - p.x0)


@register_dataclass
@dataclass(frozen=True)
class Finish(Items):
    """x_0 = D, weighed by the measurement itself."""

    def log_g(self, p: Particle, p1: Array, u: Any) -> Array:
        """log N(y; A x_0, std^2 I)."""
        return self.basis.observation.log_prob(p.x0)


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Zeros: the first step brings the noise of the highest level."""

    basis: Basis

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        zero = jnp.zeros_like(self.basis.noise(keys))
        return Particle(zero, zero), None


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    steps: Inputs
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        stages = ((Step(basis), self.steps), (Finish(basis), np.zeros(1)))
        return Model(Begin(basis), stages, jnp.zeros_like(basis.measured[1]))


@dataclass(frozen=True)
class FPS(Schedule):
    """FPS-SMC (Dou and Song, ICLR 2024): a particle filter for a measurement that is noised like the data.

    y is noised down the chain by its own steps, y_t = A x_t + std n at every level if x_t has the noise of y_t, and
    the chain is filtered given the whole sequence, by steps drawn given y_t and weights p(y_t | x_{t+1}). The filter
    takes the errors std n of the sequence for independent, though they are one and the same: with many levels below
    std it is too sure. `log_z` is that of the sequence, not of y. The paper runs 20 particles. One network call a
    step, no derivative.
    """

    steps: int = 100
    """Noise levels without the final zero; at least 2."""
    eta: float = 0.85
    """Share of fresh noise in a step, above 0 to 1: x' = D + sqrt(1 - eta^2) (s' / s) (x - D) + eta s' eps."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside (0, 1]; the weights need a density of the step")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep = np.sqrt(1 - self.eta**2) * levels.s[1:] / levels.s[:-1]
        noise = self.eta * levels.s[1:]
        return Table(Inputs(np.append(0.0, keep), np.append(levels.start, noise), levels.t, levels.alpha), process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
