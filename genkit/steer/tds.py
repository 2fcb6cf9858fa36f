"""The twisted diffusion sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.method import Down, Schedule, Steps, Table, first_rest
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class TDS(Schedule):
    """TDS (Wu et al. 2023, arXiv 2306.17775): DDIM with the score of p(y | x_0 = D(x_t)) added, and weights.

    The target is the unconditional chain times the likelihood of its end: the last step x_0 = D(x_1) changes no
    weight. Needs a derivative of the network and of the likelihood in each of its T calls; takes any operator and
    noise. The twisting function is far too narrow at high noise levels: without `clip` particles are thrown far away on
    coarse grids. With any clip the weights are exact.
    """

    eta: float = 1.0
    """Noise of DDIM, above 0 to 1."""
    clip: float | None = 3.0
    """Longest shift of a step by the twisting, a Euclidean norm in standard deviations of the step; any if none."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside (0, 1]; the weights need a density of the step")
        self.positive("clip")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        clip = np.inf if self.clip is None else self.clip
        longest = np.append(clip * noise / (1 - keep), np.inf)  # of what the step from there adds to D
        first, rest = first_rest(Arrival(levels.s, levels.t, levels.alpha, longest))
        return Table((Twisted(),), (levels.start, first), (Down(keep, noise, rest),), np.zeros(1), process)


class Particle(NamedTuple):
    """A state in the basis of the operator, divided by alpha, and the twisting function there."""

    z: Array
    """(n, d) state"""
    x0: Array
    """(n, d) denoised"""
    pull: Array
    """(n, d) s^2 times the gradient of `log_lik`: what it adds to the denoised value"""
    log_lik: Array
    """(n,) log p(y | x0)"""


class Arrival(NamedTuple):
    """Of a level; leaves () for one, (T,) for many."""

    s: Any
    time: Any
    alpha: Any
    longest: Any
    """norm of `pull`"""


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Twisted(Steps):
    """A step of DDIM with the twisted score."""

    name = "TDS"
    evidence = True
    needs = ("noise",)

    def begin(self, keys: Array, first: tuple[Any, Arrival]) -> tuple[Particle, Array]:
        """Noise at the highest level, weighed by the twisting function."""
        z = self.basis.noise(keys)
        p = self.arrive(jnp.asarray(first[0], z.dtype) * z, first[1])
        return p, p.log_lik

    def arrive(self, z: Array, u: Arrival) -> Particle:
        """Denoise, weigh and differentiate; one network call and its derivative."""

        def value(z: Array) -> tuple[Array, tuple[Array, Array]]:
            x0 = self.basis.denoised(z, u.time, u.alpha)
            log_lik = self.basis.observation.log_prob(x0)
            return log_lik.sum(), (x0, log_lik)

        gradient, (x0, log_lik) = jax.grad(value, has_aux=True)(z)
        pull = jnp.asarray(u.s, z.dtype) ** 2 * gradient
        length = jnp.linalg.norm(pull, axis=1, keepdims=True)
        return Particle(z, x0, pull * jnp.minimum(1.0, u.longest / jnp.maximum(length, 1e-30)), log_lik)

    def move(self, keys: Array, p: Particle, u: Down) -> Particle:
        """Draw with the twisted denoised value."""
        z = u.mean(p.z, p.x0 + p.pull) + u.noise * self.basis.noise(keys)
        return self.arrive(z, u.arrival)

    def log_g(self, p: Particle, p1: Particle, u: Down) -> Array:
        """Ratio of the twisting functions times that of prior and proposal."""
        free, twisted = (p1.z - u.mean(p.z, d) for d in (p.x0, p.x0 + p.pull))
        return p1.log_lik - p.log_lik + ((twisted**2 - free**2) / (2 * u.noise**2)).sum(1)

    def log_prob(self, p: Particle, p1: Particle, u: Down) -> Array:
        """log density of the arrival's `z`, (n,)."""
        gap = (p1.z - u.mean(p.z, p.x0 + p.pull)) / u.noise
        return -0.5 * (gap**2 + jnp.log(2 * jnp.pi * u.noise**2)).sum(1)
