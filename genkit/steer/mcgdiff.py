"""Monte-Carlo guided diffusion for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

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
    """A state in the basis of the operator, divided by alpha, and what is known there of the next step."""

    mean: Array
    """(n, d) of the next step under the prior"""
    x0: Array
    """(n, d) denoised"""
    held: Array
    """(n, r) log-potential that each measured coordinate has been given so far"""
    log_g: Array
    """(n,) log of what the next step's potentials will be, over those held"""


@register_dataclass
@dataclass(frozen=True)
class Draw:
    """How a level is reached; leaves as for one step."""

    noise: Any
    """() of the step"""
    active: Any
    """(r,) bool, whether the potential of a coordinate is still followed"""
    nv: Any
    """(r,) variance of the potential there"""


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Of a step, or of the beginning."""

    draw: Draw
    ahead: Draw
    """of the next step"""
    keep: Any
    """of the next step's mean"""
    time: Any
    alpha: Any


def arrive(basis: Basis, keys: Array, mean: Array, held: Array, u: Inputs) -> Particle:
    """Draw from N(mean, noise^2), where active conditioned on the potential, and look ahead; one network call."""
    r, target = held.shape[1], _target(basis)
    share = u.draw.noise**2 / (u.draw.noise**2 + u.draw.nv)
    seen = mean[:, :r]
    pulled = jnp.where(u.draw.active, seen + share * (target - seen), seen)
    width = jnp.where(u.draw.active, jnp.sqrt(u.draw.nv * share), u.draw.noise)
    eps = basis.noise(keys)
    z = (mean + u.draw.noise * eps).at[:, :r].set(pulled + width * eps[:, :r])
    held = jnp.where(u.draw.active, norm.logpdf(target, z[:, :r], jnp.sqrt(u.draw.nv)), held)
    d = basis.denoised(z, u.time, u.alpha)
    mean = d + u.keep * (z - d)
    predicted = norm.logpdf(target, mean[:, :r], jnp.sqrt(u.ahead.noise**2 + u.ahead.nv))
    return Particle(mean, d, held, jnp.where(u.ahead.active, predicted - held, 0.0).sum(1))


def _target(basis: Basis) -> Array:
    """What was measured, as a value of x_0: U^T y / s, (r,)."""
    s, c, _ = basis.measured
    return c / s


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level, conditioned on the potentials there."""

    basis: Basis
    u: Inputs

    def __call__(self, keys: Array) -> tuple[Particle, Array]:
        """Particles and log G."""
        target = _target(self.basis)
        mean = jnp.zeros_like(self.basis.noise(keys))
        constant = norm.logpdf(target, 0.0, jnp.sqrt(self.u.draw.noise**2 + self.u.draw.nv))
        p = arrive(self.basis, keys, mean, jnp.zeros((mean.shape[0], target.size), mean.dtype), self.u)
        return p, p.log_g + constant.sum()


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """A step of DDIM, conditioned on the next potential; its weight is known on arrival."""

    basis: Basis

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """Draw and look ahead."""
        return arrive(self.basis, keys, p.mean, p.held, u)

    def log_g(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """What the next step's potentials will be."""
        return p1.log_g


@register_dataclass
@dataclass(frozen=True)
class Finish(Items):
    """x_0 = D, and the likelihood in place of the potentials."""

    def log_g(self, p: Particle, p1: Array, u: Any) -> Array:
        """log N(y; A x_0, std^2 I) over what was held."""
        return self.basis.observation.log_prob(p.x0) - p.held.sum(1)


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    s: Any
    """(T,) levels"""
    noise: Any
    """(T,) of the beginning and of each step"""
    keep: Any
    """(T,) of each step, and 0"""
    time: Any
    alpha: Any
    kappa: Any
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        values, _, std = basis.measured
        s, noise, keep, time, alpha = (
            jnp.asarray(a, values.dtype) for a in (self.s, self.noise, self.keep, self.time, self.alpha)
        )
        followed = jnp.append(s, 0.0)[:, None]
        distance = jnp.abs(std**2 - followed**2 * values**2) / (1 + followed**2)
        tau = followed[jnp.argmin(distance, axis=0), 0]
        active = s[:, None] >= tau
        nv = jnp.where(active, s[:, None] ** 2 - tau**2 + self.kappa * (1 + tau**2), 1.0)
        draw = Draw(noise, active, nv)
        nothing = Draw(jnp.ones(1), jnp.zeros_like(active[:1]), jnp.ones_like(nv[:1]))
        ahead = jax.tree.map(lambda a, b: jnp.concatenate([a[1:], b.astype(a.dtype)]), draw, nothing)
        inputs = Inputs(draw, ahead, keep, time, alpha)
        first, rest = (jax.tree.map(lambda a, which=which: a[which], inputs) for which in (0, slice(1, None)))
        return Model(Begin(basis, first), ((Step(basis), rest), (Finish(basis), s[:1])))


@dataclass(frozen=True)
class MCGDiff(Schedule):
    """MCGDiff (Cardoso et al., ICLR 2024, arXiv 2308.07983), for variance-preserving paths.

    A measured coordinate of the state is drawn towards y / s down to the level tau at which the path has the noise of
    y / s; below it runs free, and the likelihood takes the place of its last potential at the end. A potential is
    N(y / s; x, s^2 - s_tau^2 + kappa (1 + s_tau^2)) in states divided by alpha. Steps are conditioned on the next
    potential exactly, so their weight is known before them. One network call a step, no derivative. The last weight
    divides by potentials as narrow as kappa: for a small one the estimate of log Z, unbiased, has infinite variance.
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
        if self.kappa <= 0:
            raise UsageError(f"kappa={self.kappa} must be positive")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        noise = np.insert(noise, 0, levels.start)
        return Table(levels.s, noise, np.append(keep, 0.0), levels.t, levels.alpha, self.kappa, process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
