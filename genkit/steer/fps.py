"""Filtering posterior sampling for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from genkit.chain import State
from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.method import Schedule, Steps, Table
from genkit.tree import register_dataclass

Array = jax.Array


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
        steps = Inputs(np.append(0.0, keep), np.append(levels.start, noise), levels.t, levels.alpha)
        return Table((Filtered(),), None, (steps,), np.zeros(1), process)


class Particle(NamedTuple):
    """A state and its reconstruction, in the basis of the operator and divided by alpha; both (n, d)."""

    z: Array
    x0: Array


class Inputs(NamedTuple):
    """How a level is reached; leaves () for one step, (T,) for a stage."""

    keep: Any
    noise: Any
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Filtered(Steps):
    """A step conditioned on the noised measurement of its arrival, whose weight is known before it.

    The population shares one sequence of noised measurements, kept as v (r,): values of the measured coordinates.
    """

    name = "FPS"

    def shared(self) -> Array:
        """v before the first step."""
        return jnp.zeros_like(self.basis.measured[1])

    def begin(self, keys: Array, first: None) -> tuple[Particle, None]:
        """Zeros: the first step brings the noise of the highest level."""
        zero = jnp.zeros_like(self.basis.noise(keys))
        return Particle(zero, zero), None

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

    def log_end(self, p: Particle, last: Any) -> Array:  # type: ignore[override]
        """x_0 = D is weighed by the measurement itself, log N(y; A x_0, std^2 I)."""
        return self.basis.observation.log_prob(p.x0)

    @staticmethod
    def _mean(p: Particle, u: Inputs) -> Array:
        return p.x0 + u.keep * (p.z - p.x0)
