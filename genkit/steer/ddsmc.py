"""Decoupled diffusion sequential Monte Carlo for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process, check_range, rho_grid
from genkit.errors import UsageError
from genkit.steer.flow import Path, flow_paths, reconstruct
from genkit.steer.method import Schedule, Steps, Table, first_rest
from genkit.tree import register_dataclass

Array = jax.Array

GUARD = 1e-3  # least share of the proposal's variance that an observation leaves
ENDS = ("exact", "reference")


@dataclass(frozen=True)
class DDSMC(Schedule):
    """DDSMC (Ekstrom Kelvinius, Zhao and Lindsten, ICML 2025, arXiv 2502.06379) for any Gaussian path.

    The prior is p(x_t | x_{t+1}) in proportion to N(x_t; x_0, s_t^2) N(x_{t+1}; x_t, s_{t+1}^2 - s_t^2)^eta in states
    divided by alpha, where x_0 = f(x_{t+1}) is reconstructed: eta = 0 forgets the state (DAPS), eta = 1 is the
    ancestral step of DDPM. The target is this chain times N(y; A f(x_t), std^2 I + rho_t^2 A A^T), the proposal its
    transition for x_0 ~ N(f, rho^2 I) given y. No derivative of the network; T calls a particle with `tweedie`,
    T (T + 1) / 2 with `ode`. With few levels the chain is narrower than the data (`prior_std`), and the evidence is
    that of the chain.
    """

    eta: float = 0.0
    """Share of the ancestral step, 0 to 1."""
    recon: Literal["tweedie", "ode"] = "tweedie"
    """Reconstruct by the denoised value, or by the probability flow on the levels that remain."""
    inner: int | None = None
    """Most steps of the flow; none is all that remain."""
    spread: float = 1.0
    """Standard deviation of the data, for rho^2 = s^2 spread^2 / (2 (s^2 + spread^2)); 1 gives (1 - abar) / 2."""
    rho_range: tuple[float, float] | None = None
    """Lowest and highest rho on an EDM grid of their own, in place of `spread`."""
    last: Literal["exact", "reference"] = "exact"
    """The last step: x_0 = f(x_1), or the conditioned mean without its weight, as the reference code."""
    proposal: Literal["exact", "reference"] = "exact"
    """Variance of the proposal: from that of the prior, or from s^2 for every eta, as the reference code."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside [0, 1]; 0 is decoupled, 1 ancestral")
        for name, known in (("recon", ("tweedie", "ode")), ("last", ENDS), ("proposal", ENDS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)!r} is unknown; known: {', '.join(known)}")
        if self.inner is not None and self.inner < 1:
            raise UsageError(f"inner={self.inner} is too few; the flow needs at least 1 step")
        self.positive("spread")

    def rho2(self, s: np.ndarray) -> np.ndarray:
        """Variance rho^2 of the reconstruction at levels s (T,)."""
        if self.rho_range is None:
            return s**2 * self.spread**2 / (s**2 + self.spread**2) / 2
        low, high = self.rho_range
        check_range(low, high)
        return rho_grid(len(s), low, high)[:-1] ** 2

    def prior(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the step from each level but the last: c0, c1 of its mean c0 x_0 + c1 x and its variance, (T - 1,)."""
        gap = s[:-1] ** 2 - s[1:] ** 2
        total = self.eta * s[1:] ** 2 + gap
        return gap / total, self.eta * s[1:] ** 2 / total, gap * s[1:] ** 2 / total

    def limits(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Variances of the proposal where nothing is observed, and the largest rho^2 that leaves them positive."""
        c0, _, lam2 = self.prior(s)
        base = s[1:] ** 2 if self.proposal == "reference" else lam2
        return base, (1 - GUARD) * base / c0**2

    def clipped(self, process: Process = EDM()) -> np.ndarray:
        """(T - 1,) bool, where rho of the proposal is lowered so that its variance stays positive."""
        s = self.levels(process).s
        return self.rho2(s)[:-1] > self.limits(s)[1]

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        s, rho2 = levels.s, self.rho2(levels.s)
        first, rest = first_rest(Arrival(rho2, flow_paths(levels, 1 if self.recon == "tweedie" else self.inner)))
        base, most = self.limits(s)
        steps = Inputs(*self.prior(s), base, np.minimum(rho2[:-1], most), rest)
        kernel = Decoupled(reference=self.last == "reference")
        return Table((kernel,), (levels.start, first), (steps,), rho2[-1:], process)

    def prior_std(self, process: Process = EDM(), spread: float | None = None) -> float:
        """Standard deviation of x_0 under the chain without a measurement, if the data are N(0, spread^2 I).

        `spread` is the method's if not given. Where the chain is narrower, the posterior is pulled to the mean, and the
        evidence is that of narrower data.
        """
        levels, spread = self.levels(process), self.spread if spread is None else spread
        paths = flow_paths(levels, 1 if self.recon == "tweedie" else self.inner)
        ratio = (spread**2 + paths.s[:, :-1] * paths.s[:, 1:]) / (spread**2 + paths.s[:, :-1] ** 2)
        f = np.where(np.arange(ratio.shape[1]) < paths.count[:, None], ratio, 1.0).prod(1)  # x_0 = f z
        v = levels.start**2
        for c0, c1, lam2, own in zip(*self.prior(levels.s), f[:-1], strict=True):
            v = (c0 * own + c1) ** 2 * v + lam2
        return float(f[-1] * v**0.5)

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return int(flow_paths(self.levels(process), 1 if self.recon == "tweedie" else self.inner).count.sum())


class Particle(NamedTuple):
    """A state and what was reconstructed from it, in the basis of the operator and divided by alpha."""

    z: Array
    """(n, d) state"""
    x0: Array
    """(n, d) reconstruction f(z)"""
    log_lik: Array
    """(n,) log of the surrogate likelihood"""


class Arrival(NamedTuple):
    """Of a level; leaves () for one, (T,) for many."""

    rho2: Any
    """variance of x_0 in the surrogate likelihood"""
    path: Path


class Inputs(NamedTuple):
    """Coefficients of a step; leaves () for one step, (T,) for a stage."""

    c0: Any
    """of the reconstruction in the prior's mean"""
    c1: Any
    """of the state in the prior's mean"""
    lam2: Any
    """variance of the prior"""
    base: Any
    """variance of the proposal where nothing is observed"""
    rho2: Any
    """of the reconstruction that the proposal conditions"""
    arrival: Arrival


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Decoupled(Steps):
    """One level down: x_t ~ r(. | x_{t+1}, y), the prior's transition conditioned on y."""

    name = "DDSMC"
    evidence = True

    reference: bool = field(default=False, metadata={"static": True})
    """End in the conditioned mean without its density, as the reference code; biased."""

    def begin(self, keys: Array, first: tuple[Any, Arrival]) -> tuple[Particle, Array]:
        """Noise at the highest level, weighed by the surrogate likelihood."""
        z = self.basis.noise(keys)
        p = self.arrive(jnp.asarray(first[0], z.dtype) * z, first[1])
        return p, p.log_lik

    def arrive(self, z: Array, u: Arrival) -> Particle:
        """Reconstruct from z (n, d) and weigh."""
        x0 = reconstruct(self.basis, z, u.path)
        return Particle(z, x0, self.basis.observation.log_prob(x0, jnp.asarray(u.rho2, z.dtype)))

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """Draw, reconstruct, weigh."""
        _, mean, var = self._means(p, u)
        return self.arrive(mean + jnp.sqrt(var) * self.basis.noise(keys), u.arrival)

    def log_g(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """Ratio of the surrogates times that of prior and proposal."""
        prior, mean, var = self._means(p, u)
        # a coordinate at a time: where nothing is observed both densities are one and cancel exactly
        ratio = -0.5 * ((p1.z - prior) ** 2 / u.lam2 - (p1.z - mean) ** 2 / var + jnp.log(u.lam2 / var))
        return p1.log_lik - p.log_lik + ratio.sum(1)

    def log_prob(self, p: Particle, p1: Particle, u: Inputs) -> Array:
        """log r, (n,), of the arrival's `z`."""
        _, mean, var = self._means(p, u)
        return -0.5 * ((p1.z - mean) ** 2 / var + jnp.log(2 * jnp.pi * var)).sum(1)

    def end(self, keys: Array, p: Particle, last: Any) -> Array:
        """At level zero the prior leaves nothing to draw: x_0 is the reconstruction."""
        return self.basis.observation.operator.from_basis(self._x0(p, last))

    def log_end(self, p: Particle, last: Any) -> Array:  # type: ignore[override]
        """The likelihood in place of its surrogate."""
        return self.basis.observation.log_prob(self._x0(p, last)) - p.log_lik

    def _means(self, p: Particle, u: Inputs) -> tuple[Array, Array, Array]:
        """Means of prior and proposal (n, d), variance of the proposal (d,)."""
        gain, mu = self.basis.observation.condition(p.x0, u.rho2)
        carried = u.c1 * p.z
        return u.c0 * p.x0 + carried, u.c0 * mu + carried, u.base - u.c0**2 * u.rho2 * gain

    def _x0(self, p: Particle, rho2: Any) -> Array:
        return self.basis.observation.condition(p.x0, jnp.asarray(rho2, p.x0.dtype))[1] if self.reference else p.x0
