"""Decoupled diffusion sequential Monte Carlo for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.diffusion import EDM, Denoiser, Process, check_range, process_of, rho_grid
from genkit.errors import UsageError
from genkit.steer.basis import Basis, basis_of
from genkit.steer.operators import Observation
from genkit.steer.schedule import Levels, Schedule
from genkit.tree import register_dataclass

Array = jax.Array

GUARD = 1e-3  # least share of the proposal's variance that an observation leaves
ENDS = ("exact", "reference")


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state and what was reconstructed from it, in the basis of the operator and divided by alpha."""

    z: Array
    """(n, d) state"""
    x0: Array
    """(n, d) reconstruction f(z)"""
    log_lik: Array
    """(n,) log of the surrogate likelihood"""


@register_dataclass
@dataclass(frozen=True)
class Path:
    """Euler steps of the probability flow from a level to zero; leaves as for one arrival."""

    s: Any
    """(L + 1,) levels, the first `count` + 1 count"""
    time: Any
    """(L,)"""
    alpha: Any
    """(L,)"""
    count: Any
    """() int, number of steps, which is that of network calls"""


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Coefficients of a step; leaves () for one step, (T,) for a stage."""

    c0: Any
    """of the reconstruction in the prior's mean"""
    c1: Any
    """of the state in the prior's mean"""
    lam2: Any
    """variance of the prior"""
    base: Any
    """variance of the proposal where nothing is observed"""
    before2: Any
    """rho^2 of the reconstruction that the proposal conditions"""
    after2: Any
    """rho^2 of the surrogate likelihood on arrival"""
    path: Path


def flow_paths(levels: Levels, most: int | None) -> Path:
    """Paths to zero from every level, in at most that many steps of the levels that remain; leaves (T, ...)."""
    n = len(levels.s)
    most = min(most or n, n)
    places = [np.unique(np.linspace(i, n - 1, min(most, n - i)).round().astype(int)) for i in range(n)]
    count = np.array([len(where) for where in places], np.int32)
    index = np.stack([np.pad(where, (0, most - len(where)), mode="edge") for where in places])
    s = np.where(np.arange(most) < count[:, None], levels.s[index], 0.0)
    return Path(np.concatenate([s, np.zeros((n, 1))], 1), levels.t[index], levels.alpha[index], count)


def reconstruct(basis: Basis, z: Array, path: Path) -> Array:
    """x_0 by the probability flow from z, (n, d)."""
    s = jnp.asarray(path.s, z.dtype)
    time, alpha = jnp.asarray(path.time), jnp.asarray(path.alpha)

    def call(k: Any, z: Array) -> Array:
        d = basis.denoised(z, time[k], alpha[k])
        return d + s[k + 1] / s[k] * (z - d)

    return call(0, z) if time.shape == (1,) else jax.lax.fori_loop(0, path.count, call, z)


def arrive(basis: Basis, z: Array, rho2: Any, path: Path) -> Particle:
    """Reconstruct from z (n, d) and weigh."""
    x0 = reconstruct(basis, z, path)
    return Particle(z, x0, basis.observation.log_prob(x0, jnp.asarray(rho2, z.dtype)))


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level, weighed by the surrogate likelihood."""

    basis: Basis
    std: Any
    rho2: Any
    path: Path

    def __call__(self, keys: Array) -> tuple[Particle, Array]:
        """Particles and log G_T."""
        z = self.basis.noise(keys)
        p = arrive(self.basis, jnp.asarray(self.std, z.dtype) * z, self.rho2, self.path)
        return p, p.log_lik


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """One level down: x_t ~ r(. | x_{t+1}, y), the prior's transition conditioned on y."""

    basis: Basis

    def _means(self, p: Particle, u: Inputs) -> tuple[Array, Array, Array]:
        """Means of prior and proposal (n, d), variance of the proposal (d,)."""
        gain, mu = condition(self.basis.observation, p.x0, u.before2)
        carried = u.c1 * p.z
        var = u.base - u.c0**2 * u.before2 * gain
        return u.c0 * p.x0 + carried, u.c0 * mu + carried, var

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """Draw, reconstruct, weigh."""
        _, mean, var = self._means(p, u)
        z = mean + jnp.sqrt(var) * self.basis.noise(keys)
        return arrive(self.basis, z, u.after2, u.path)

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


def condition(observation: Observation, x0: Array, rho2: Any) -> tuple[Array, Array]:
    """N(x0, rho2 I) conditioned on y: the share (d,) that y takes of the variance, and the mean (n, d)."""
    operator = observation.operator
    s, c = (jnp.asarray(a, x0.dtype) for a in (operator.s, observation.coordinates))
    total = s**2 * rho2 + jnp.asarray(observation.std, x0.dtype) ** 2
    unseen = (0, x0.shape[1] - s.size)
    shift = rho2 * s / total * (c - s * x0[:, : s.size])
    return jnp.pad(rho2 * s**2 / total, unseen), x0 + jnp.pad(shift, ((0, 0), unseen))


@register_dataclass
@dataclass(frozen=True)
class Finish(Kernel):
    """To level zero, where the prior leaves nothing to draw: x_0 is the reconstruction. Gives items (n, *shape)."""

    basis: Basis
    reference: bool = field(default=False, metadata={"static": True})
    """Put the conditioned mean in its place, without its density, as the reference code; biased."""

    def _x0(self, p: Particle, u: Any) -> Array:
        return condition(self.basis.observation, p.x0, jnp.asarray(u, p.x0.dtype))[1] if self.reference else p.x0

    def move(self, keys: Array, p: Particle, u: Any) -> Array:
        """x_0."""
        return self.basis.observation.operator.from_basis(self._x0(p, u))

    def log_g(self, p: Particle, p1: Array, u: Any) -> Array:
        """The likelihood in place of its surrogate."""
        return self.basis.observation.log_prob(self._x0(p, u)) - p.log_lik


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    std: Any
    """() of the state at the highest level"""
    first2: Any
    """() rho^2 there"""
    last2: Any
    """(1,) rho^2 at the lowest level"""
    path: Path
    """of the first reconstruction"""
    steps: Inputs
    """Leaves (T - 1, ...)."""
    clipped: Any
    """(T - 1,) bool, where rho of the proposal was lowered so that its variance stays positive"""
    process: Process = field(metadata={"static": True})
    reference: bool = field(default=False, metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape) with weights of the posterior; log Z estimates log p(y)."""
        basis = basis_of(self.process, denoiser, cond, observation)
        begin = Begin(basis, self.std, self.first2, self.path)
        return Model(begin, ((Step(basis), self.steps), (Finish(basis, self.reference), self.last2)))


@dataclass(frozen=True)
class DDSMC(Schedule):
    """DDSMC (Ekstrom Kelvinius, Zhao and Lindsten, ICML 2025, arXiv 2502.06379) for any Gaussian path.

    The prior is p(x_t | x_{t+1}) in proportion to N(x_t; x_0, s_t^2) N(x_{t+1}; x_t, s_{t+1}^2 - s_t^2)^eta in states
    divided by alpha, where x_0 = f(x_{t+1}) is reconstructed: eta = 0 forgets the state (DAPS), eta = 1 is the
    ancestral step of DDPM. The target is this chain times N(y; A f(x_t), std^2 I + rho_t^2 A A^T), the proposal its
    transition for x_0 ~ N(f, rho^2 I) given y. No derivative of the network; T calls a particle with `tweedie`,
    T (T + 1) / 2 with `ode`.
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
        if self.spread <= 0:
            raise UsageError(f"spread={self.spread} must be positive")

    def rho2(self, s: np.ndarray) -> np.ndarray:
        """Variance rho^2 of the reconstruction at levels s (T,)."""
        if self.rho_range is None:
            return s**2 * self.spread**2 / (s**2 + self.spread**2) / 2
        low, high = self.rho_range
        check_range(low, high)
        return rho_grid(len(s), low, high)[:-1] ** 2

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        s, rho2 = levels.s, self.rho2(levels.s)
        paths = flow_paths(levels, 1 if self.recon == "tweedie" else self.inner)
        gap = s[:-1] ** 2 - s[1:] ** 2
        total = self.eta * s[1:] ** 2 + gap
        c0, lam2 = gap / total, gap * s[1:] ** 2 / total
        base = s[1:] ** 2 if self.proposal == "reference" else lam2
        most = (1 - GUARD) * base / c0**2
        steps = Inputs(
            c0=c0,
            c1=self.eta * s[1:] ** 2 / total,
            lam2=lam2,
            base=base,
            before2=np.minimum(rho2[:-1], most),
            after2=rho2[1:],
            path=jax.tree.map(lambda a: a[1:], paths),
        )
        first = jax.tree.map(lambda a: a[0], paths)
        return Table(
            levels.start, rho2[0], rho2[-1:], first, steps, rho2[:-1] > most, process, self.last == "reference"
        )

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        table = self.table(process)
        return int(table.path.count + table.steps.path.count.sum())

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
