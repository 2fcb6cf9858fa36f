"""Chains guided by a likelihood without weights: DPS, PiGDM and MMPS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Denoiser, Guidance, Process, process_of
from genkit.steer.method import Basis, Down, Ended, Levels, Schedule, Steps, Table, first_rest
from genkit.steer.observation import Observation
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class GuidedSchedule(Schedule):
    """Base: DDIM towards D + factor J^T v, with J = dD/dz and v (n, d) of the method. Samples are not weighed."""

    eta: float = 1.0
    """Noise of DDIM, 0 to 1."""

    def kernel(self) -> GuidedStep:
        """The rule that gives v."""
        raise NotImplementedError(f"{type(self).__name__} has no kernel")

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factor of the gradient and variance of x_0 at the levels, (T,); `keep` (T,) of the steps from there."""
        raise NotImplementedError(f"{type(self).__name__} has no strength")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        keep, noise = self.ddim(levels.s, self.eta)
        first, rest = first_rest(Arrival(levels.t, levels.alpha, *self.strength(levels, np.append(keep, 0.0))))
        return Table((self.kernel(),), (levels.start, first), (Down(keep, noise, rest),), np.zeros(1), process)


@dataclass(frozen=True)
class DPS(GuidedSchedule):
    """DPS (Chung et al., ICLR 2023, arXiv 2209.14687): after each ancestral step, x' -= scale grad_x |y - A D(x)|.

    The std of the measurement is not used; `scale` stands for it, in the units of x and not of x / alpha. Made for
    many small steps: 1000 in the paper. Takes any operator; under another noise the distance is the root of the
    deviance, of counts that of normal noise of their variance as in the paper (`Noise.distance`).
    """

    scale: float = 1.0
    """Size of the step down the gradient."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.positive("scale")

    def kernel(self) -> GuidedStep:
        """Down the distance."""
        return Nearer()

    def guidance(self, observation: Observation) -> Measured:
        """The guidance of a denoiser by the observation, for any sampler (`genkit.diffusion.Guidance`).

        From level s down to s' the state is moved by scale (s - s'), in units of x / alpha: by `scale` in place of a
        step of the paper where that is one unit of s.
        """
        return Measured(self.kernel(), observation, scale=self.scale)

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shift of x' as one of the denoised value, which moves the state by 1 - keep."""
        after = np.append(levels.alpha[1:], 1.0)
        return self.scale / (levels.alpha * after * (1 - keep)), np.zeros_like(keep)


@dataclass(frozen=True)
class PiGDM(GuidedSchedule):
    """PiGDM (Song et al., ICLR 2023): adds s^2 times the gradient of log N(y; A D, r^2 A A^T + std^2 I).

    r^2 = s^2 spread^2 / (s^2 + spread^2), which is exact for data N(m, spread^2 I). No inverse of a matrix: the
    covariance is diagonal in the basis of a linear operator; for any other function, with its derivative as A, the
    system is solved by conjugate gradients.
    """

    eta: float = 0.2
    """Noise of DDIM, 0 to 1."""
    spread: float = 1.0
    """Standard deviation of the data."""
    iterations: int = 10
    """Of the conjugate gradients, of an operator without singular values."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.positive("spread", "iterations")

    def kernel(self) -> GuidedStep:
        """With a variance r^2 of x_0."""
        return Isotropic(iterations=self.iterations)

    def guidance(self, observation: Observation) -> Measured:
        """The guidance of a denoiser by the observation, for any sampler (`genkit.diffusion.Guidance`)."""
        return Measured(self.kernel(), observation, self.spread)

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s^2, and r^2."""
        return levels.s**2, _between(levels.s**2, self.spread)


@dataclass(frozen=True)
class MMPS(GuidedSchedule):
    """MMPS, moment matching (Rozet et al., NeurIPS 2024, arXiv 2405.13712): PiGDM with the network's own covariance.

    Adds s^2 J^T A^T (std^2 I + A V A^T)^-1 (y - A D) with V = s^2 J, the covariance of x_0 given the state if the
    denoiser is exact; for Gaussian data of any covariance the guidance is exact. The system is solved by conjugate
    gradients, each iteration with a derivative of the network. They take V for symmetric, which a trained network does
    not promise: `Draws.said["residual"]` is the largest relative residual on the way, near 0 where all were solved.
    Takes any differentiable operator, with its derivative as A.
    """

    eta: float = 0.2
    """Noise of DDIM, 0 to 1."""
    iterations: int = 5
    """Of the conjugate gradients; as many as there are measured numbers are exact."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.positive("iterations")

    def kernel(self) -> GuidedStep:
        """With the covariance V."""
        return Matched(iterations=self.iterations)

    def guidance(self, observation: Observation) -> Measured:
        """The guidance of a denoiser by the observation, for any sampler (`genkit.diffusion.Guidance`)."""
        return Measured(self.kernel(), observation)

    def strength(self, levels: Levels, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s^2, twice."""
        return levels.s**2, levels.s**2


class Particle(NamedTuple):
    """A state in the basis of the operator, divided by alpha, and the guided x_0 there; both (n, d)."""

    z: Array
    x0: Array
    residual: Array
    """(n,) largest relative residual of the systems so far"""


class Arrival(NamedTuple):
    """Where a step ends and how it is guided there; leaves () for one step, (T,) for a stage."""

    time: Any
    alpha: Any
    factor: Any
    """of the gradient in what it adds to the denoised value"""
    spread2: Any
    """variance of x_0 in the likelihood"""


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class GuidedStep(Steps):
    """A step of DDIM towards the guided value; a subclass has `rule`."""

    needs = ("normal noise",)
    solves: ClassVar[bool] = False
    """Whether a residual is told."""

    def rule(self, d: Array, back: Callable[[Array], Array], spread2: Any) -> tuple[Array, Array]:
        """v (n, d) at denoised values d (n, d) with back(v) = J^T v, and the relative residual (n,)."""
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    def begin(self, keys: Array, first: tuple[Any, Arrival]) -> tuple[Particle, None]:
        """Noise at the highest level."""
        z = self.basis.noise(keys)
        return self.arrive(jnp.asarray(first[0], z.dtype) * z, first[1], jnp.zeros(len(z), z.dtype)), None

    def pull(self, z: Array, time: Any, alpha: Any, spread2: Any) -> tuple[Array, Array, Array]:
        """D and J^T v, (n, d), and the relative residual (n,); one network call and its derivatives."""
        d, back = jax.vjp(lambda z: self.basis.denoised(z, time, alpha), z)
        v, left = self.rule(d, lambda v: back(v)[0], jnp.asarray(spread2, z.dtype))
        return d, back(v)[0], left

    def arrive(self, z: Array, u: Arrival, residual: Array) -> Particle:
        """Guide."""
        d, pull, left = self.pull(z, u.time, u.alpha, u.spread2)
        return Particle(z, d + u.factor * pull, jnp.maximum(residual, left))

    def move(self, keys: Array, p: Particle, u: Down) -> Particle:
        """x0 + keep (z - x0) + noise eps."""
        z = u.mean(p.z, p.x0) + u.noise * self.basis.noise(keys)
        return self.arrive(z, u.arrival, p.residual)

    def end(self, keys: Array, p: Particle, last: Any) -> Any:
        """Items, and what is left of the systems where there are any."""
        x = super().end(keys, p, last)
        return Ended(x, {"residual": p.residual}) if self.solves else x


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Nearer(GuidedStep):
    """v = -grad |y - A D|."""

    name = "DPS"
    needs = ()

    def rule(self, d: Array, back: Callable[[Array], Array], spread2: Any) -> tuple[Array, Array]:
        """The gradient of the distance."""
        slope = jax.grad(lambda d: self.basis.observation.distance(d).sum())(d)
        return -slope, jnp.zeros(len(d), d.dtype)


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Isotropic(GuidedStep):
    """v = A^T (spread2 A A^T + std^2 I)^-1 (y - A D)."""

    name = "PiGDM"

    iterations: int = field(default=10, metadata={"static": True})

    def rule(self, d: Array, back: Callable[[Array], Array], spread2: Any) -> tuple[Array, Array]:
        """Diagonal in the basis, else by conjugate gradients."""
        observation = self.basis.observation
        near, noise2 = observation.linearised(d), jnp.asarray(observation.std, d.dtype) ** 2
        if observation.diagonal:
            s = jnp.asarray(observation.operator.s, d.dtype)
            return near.back(near.gap / (spread2 * s**2 + noise2)), jnp.zeros(len(d), d.dtype)
        w, left = solve(lambda w: noise2 * w + spread2 * near.forth(near.back(w)), near.gap, self.iterations)
        return near.back(w), left


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Matched(GuidedStep):
    """v = A^T (spread2 A J^T A^T + std^2 I)^-1 (y - A D)."""

    name = "MMPS"
    solves = True

    iterations: int = field(default=5, metadata={"static": True})

    def rule(self, d: Array, back: Callable[[Array], Array], spread2: Any) -> tuple[Array, Array]:
        """By conjugate gradients."""
        near, noise2 = self.basis.observation.linearised(d), jnp.asarray(self.basis.observation.std, d.dtype) ** 2
        w, left = solve(lambda w: noise2 * w + spread2 * near.forth(back(near.back(w))), near.gap, self.iterations)
        return near.back(w), left


@register_dataclass
@dataclass(frozen=True)
class Measured(Guidance):
    """D + s^2 J^T v for any sampler, by the rule of a method."""

    kernel: GuidedStep
    observation: Any
    spread: Any = None
    """Standard deviation of the data; none where the rule has the network's own."""
    scale: Any = None
    """Of a rule that is no score: D + scale s J^T v in its place."""

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """One call and its derivatives."""
        self.kernel.check(self.observation)
        process, operator = process_of(denoiser), self.observation.operator
        kernel = replace(self.kernel, basis=Basis(denoiser, cond, self.observation))
        alpha, s = (jnp.reshape(f(jnp.asarray(t, x.dtype)), (-1, 1)) for f in (process.alpha, process.ratio))
        spread2 = s**2 if self.spread is None else _between(s**2, self.spread)
        d, pull, _ = kernel.pull(operator.to_basis(x) / alpha, t, alpha, spread2)
        return operator.from_basis(d + (s**2 if self.scale is None else self.scale * s) * pull)


def _between(s2: Any, spread: Any) -> Any:
    """Variance of x_0 at a level, of data N(m, spread^2 I)."""
    return s2 * spread**2 / (s2 + spread**2)


def solve(product: Callable[[Array], Array], b: Array, iterations: int) -> tuple[Array, Array]:
    """Conjugate gradients for many symmetric systems at once: x (n, m) with product(x) = b, and |r| / |b| (n,).

    Gives the best x on the way; a system that is solved, or whose matrix shows a direction of no positive curvature,
    stays as it is.
    """

    def dot(a: Array, b: Array) -> Array:
        return (a * b).sum(1, keepdims=True)

    def once(k: Any, carry: Any) -> Any:
        x, r, p, goes, best, least = carry
        q, rr = product(p), dot(r, r)
        curved = dot(p, q)
        goes = goes & (curved > 0) & (rr > tiny)
        step = jnp.where(goes, rr / jnp.where(goes, curved, 1.0), 0.0)
        x, r1 = x + step * p, r - step * q
        left = dot(r1, r1)
        turn = jnp.where(goes, left / jnp.where(goes, rr, 1.0), 0.0)
        better = left < least
        return x, r1, r1 + turn * p, goes, jnp.where(better, x, best), jnp.where(better, left, least)

    size, zero = dot(b, b), jnp.zeros_like(b)
    tiny = jnp.finfo(b.dtype).eps ** 2 * size
    begin = zero, b, b, size >= 0, zero, size
    *_, best, least = jax.lax.fori_loop(0, iterations, once, begin)
    ratio = jnp.where(size > 0, least / jnp.where(size > 0, size, 1.0), 0.0)
    return best, jnp.sqrt(ratio)[:, 0]
