"""Monte-Carlo guided diffusion for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.method import Schedule, Steps, Table, first_rest
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class MCGDiff(Schedule):
    """MCGDiff (Cardoso et al., ICLR 2024, arXiv 2308.07983), for variance-preserving paths.

    A measured coordinate of the state is drawn towards y / s down to the level tau at which the path has the noise of
    y / s; below it runs free, and the likelihood takes the place of its last potential at the end. One that is noisier
    than the highest level is left to the likelihood altogether. A potential is N(y / s; x, s^2 - s_tau^2 + kappa (1 +
    s_tau^2)) in states divided by alpha. Steps are conditioned on the next potential exactly, so their weight is known
    before them. One network call a step, no derivative. The last weight divides by potentials as narrow as kappa: for a
    small one the estimate of log Z, unbiased, has infinite variance.
    """

    eta: float = 1.0
    """Noise of DDIM, above 0 to 1."""
    kappa: float = 1e-2
    """Least variance of a potential; 1e-2 for the mixtures of the papers, 1e-4 for images."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside (0, 1]; the weights need a density of the step")
        self.positive("kappa")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64; those of the measured coordinates come with the measurement."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        every = Coefficients(levels.s, np.insert(noise, 0, levels.start), np.append(keep, 0.0), levels.t, levels.alpha)
        return Table((Conditioned(kappa=self.kappa),), None, (every,), levels.s[:1], process)


class Coefficients(NamedTuple):
    """Of the levels, (T,)."""

    s: Any
    noise: Any
    """with which a level is reached"""
    keep: Any
    """of the step from there"""
    time: Any
    alpha: Any


class Particle(NamedTuple):
    """A state in the basis of the operator, divided by alpha, and what is known there of the next step."""

    mean: Array
    """(n, d) of the next step under the prior"""
    x0: Array
    """(n, d) denoised"""
    held: Array
    """(n, r) log-potential that each measured coordinate has been given so far"""
    log_g: Array
    """(n,) log of what the next step's potentials will be, over those held"""


class Draw(NamedTuple):
    """How a level is reached; leaves as for one step."""

    noise: Any
    """() of the step"""
    active: Any
    """(r,) bool, whether the potential of a coordinate is still followed"""
    nv: Any
    """(r,) variance of the potential there"""


class Inputs(NamedTuple):
    """Of a step, or of the beginning."""

    draw: Draw
    ahead: Draw
    """of the next step"""
    keep: Any
    """of the next step's mean"""
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Conditioned(Steps):
    """A step of DDIM, conditioned on the next potential; its weight is known on arrival."""

    name = "MCGDiff"
    evidence = True

    kappa: Any = None

    def inputs(self, first: None, stages: tuple, last: Any) -> tuple[Inputs, tuple, Any]:
        """Down to which level each measured coordinate is followed."""
        values, _, std = self.basis.measured
        s, noise, keep, time, alpha = (jnp.asarray(a, values.dtype) for a in stages[0])
        followed = jnp.append(s, 0.0)[:, None]
        distance = jnp.abs(std**2 - followed**2 * values**2) / (1 + followed**2)
        tau = followed[jnp.argmin(distance, axis=0), 0]
        active = (s[:, None] >= tau) & (std <= s[0] * values)
        nv = jnp.where(active, s[:, None] ** 2 - tau**2 + self.kappa * (1 + tau**2), 1.0)
        draw = Draw(noise, active, nv)
        nothing = Draw(jnp.ones(1), jnp.zeros_like(active[:1]), jnp.ones_like(nv[:1]))
        ahead = jax.tree.map(lambda a, b: jnp.concatenate([a[1:], b.astype(a.dtype)]), draw, nothing)
        first_inputs, rest = first_rest(Inputs(draw, ahead, keep, time, alpha))
        return first_inputs, (rest,), last

    def begin(self, keys: Array, first: Inputs) -> tuple[Particle, Array]:
        """Noise at the highest level, conditioned on the potentials there."""
        target, mean = self.target, jnp.zeros_like(self.basis.noise(keys))
        constant = norm.logpdf(target, 0.0, jnp.sqrt(first.draw.noise**2 + first.draw.nv))
        p = self.arrive(keys, mean, jnp.zeros((mean.shape[0], target.size), mean.dtype), first)
        return p, p.log_g + jnp.where(first.draw.active, constant, 0.0).sum()

    def arrive(self, keys: Array, mean: Array, held: Array, u: Inputs) -> Particle:
        """Draw from N(mean, noise^2), where active conditioned on the potential, and look ahead; one network call."""
        r, target = held.shape[1], self.target
        share = u.draw.noise**2 / (u.draw.noise**2 + u.draw.nv)
        seen = mean[:, :r]
        pulled = jnp.where(u.draw.active, seen + share * (target - seen), seen)
        width = jnp.where(u.draw.active, jnp.sqrt(u.draw.nv * share), u.draw.noise)
        eps = self.basis.noise(keys)
        z = (mean + u.draw.noise * eps).at[:, :r].set(pulled + width * eps[:, :r])
        held = jnp.where(u.draw.active, norm.logpdf(target, z[:, :r], jnp.sqrt(u.draw.nv)), held)
        d = self.basis.denoised(z, u.time, u.alpha)
        mean = d + u.keep * (z - d)
        predicted = norm.logpdf(target, mean[:, :r], jnp.sqrt(u.ahead.noise**2 + u.ahead.nv))
        return Particle(mean, d, held, jnp.where(u.ahead.active, predicted - held, 0.0).sum(1))

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """Draw and look ahead."""
        return self.arrive(keys, p.mean, p.held, u)

    def log_g(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """What the next step's potentials will be."""
        return p1.log_g

    def log_end(self, p: Particle, last: Any) -> Array:  # type: ignore[override]
        """At x_0 = D, log N(y; A x_0, std^2 I) over what was held."""
        return self.basis.observation.log_prob(p.x0) - p.held.sum(1)

    @property
    def target(self) -> Array:
        """What was measured, as a value of x_0: U^T y / s, (r,)."""
        s, c, _ = self.basis.measured
        return c / s
