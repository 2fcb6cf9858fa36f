"""What methods share: the levels of a chain, the table of its coefficients, how it begins and how it ends.

A method is a frozen dataclass of options. Its `table(process)` holds the coefficients of all steps, made in float64
outside jit, and the kernels that obey them; `table.model(denoiser, observation)` is the chain under its potentials,
from noise to items. States are z = V^T x / alpha, (n, d), in the basis of what is measured (`Basis`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import Kernel, Model, callable_tree
from genkit.diffusion import Denoiser, Process, TimeGrid, denoise, normals, process_of
from genkit.errors import UsageError
from genkit.steer.observation import Normal, Observation
from genkit.steer.operators import LinearOperator
from genkit.tree import register_dataclass

Array = jax.Array


class Levels(NamedTuple):
    """Where a chain passes, from noise to data, without the final level zero; float64."""

    s: np.ndarray
    """(T,) noise level sigma / alpha"""
    t: np.ndarray
    """(T,) time of the process"""
    alpha: np.ndarray
    """(T,)"""
    start: float
    """standard deviation of x / alpha at the first level: of N(0, I) where the process preserves the variance, else
    that of the noise"""


@dataclass(frozen=True)
class Schedule(TimeGrid):
    """Base of the methods for diffusion: the noise levels through which a chain goes, then level zero."""

    def levels(self, process: Process) -> Levels:
        """Levels, times and scales for a process."""
        t = self.time_grid(process)
        s, alpha = (np.asarray(f(t), np.float64) for f in (process.ratio, process.alpha))
        total = alpha[0] ** 2 * (1 + s[0] ** 2)
        start = (1 / alpha[0]) if np.isclose(total, 1) else s[0]
        return Levels(s, t, alpha, float(start))

    def ddim(self, s: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        """DDIM's steps between levels s (T,), divided by alpha: x' = D + keep (x - D) + noise eps, each (T - 1,).

        Song et al. 2021 (arXiv 2010.02502), eq. 12 and 16; eta = 1 is the ancestral step.
        """
        if not 0 <= eta <= 1:
            raise UsageError(f"eta={eta} is outside [0, 1]; 0 is deterministic, 1 ancestral")
        noise = eta * s[1:] * np.sqrt(s[:-1] ** 2 - s[1:] ** 2) / s[:-1]
        return np.sqrt(s[1:] ** 2 - noise**2) / s[:-1], noise

    def table(self, process: Process) -> Table:
        """Coefficients of all steps, float64."""
        raise NotImplementedError(f"{type(self).__name__} has no table")

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return len(self.levels(process).s)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)

    def positive(self, *names: str) -> None:
        """Refuse fields that are not above zero."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name}={value} must be positive")


@register_dataclass
@dataclass(frozen=True)
class Basis:
    """A denoiser and an observation, for states z = V^T x / alpha of shape (n, d)."""

    denoiser: Denoiser
    cond: Any
    observation: Observation

    def denoised(self, z: Array, time: Any, alpha: Any) -> Array:
        """V^T E[x_0 | x_t = alpha V z], (n, d); one network call."""
        operator = self.observation.operator
        x = operator.from_basis(jnp.asarray(alpha, z.dtype) * z)
        return operator.to_basis(denoise(self.denoiser, x, jnp.asarray(time, z.dtype), self.cond))

    def noise(self, keys: Array) -> Array:
        """Standard normals (n, d)."""
        return normals(keys, (keys.shape[0], prod(self.observation.operator.shape)))

    @property
    def measured(self) -> tuple[Array, Array, Array]:
        """Singular values s (r,), what was measured U^T y (r,), and the noise's standard deviation ()."""
        c = self.observation.coordinates
        return jnp.asarray(self.observation.operator.s, c.dtype), c, jnp.asarray(self.observation.std, c.dtype)


@register_dataclass
@dataclass(frozen=True)
class Ended:
    """Items at the end of a chain, and what the method says of each."""

    x: Any
    said: dict[str, Array]
    """numbers (n,) by name"""
    failed: Any = False
    """(n,) bool, those that are no samples"""


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Steps(Kernel):
    """Base of a method's kernel, which also knows how the chain begins and ends. Fields are options of the method."""

    name: ClassVar[str] = ""
    """The method's, for messages."""
    needs: ClassVar[tuple[str, ...]] = ("singular values", "normal noise", "noise")
    """What an observation must have."""
    evidence: ClassVar[bool] = False
    """Whether log Z of the chain estimates log p(y)."""
    log_end: ClassVar[Any] = None
    """log of the last weight, (p, last) -> (n,)"""

    basis: Any = None

    def given(self, process: Process, denoiser: Denoiser, observation: Observation, cond: Any) -> Self:
        """The kernel for a denoiser of this process and an observation that it can take."""
        if process_of(denoiser) != process:
            raise UsageError(
                f"the table is for {process}, the denoiser for {process_of(denoiser)}; make it by table(process) with "
                "the denoiser's process"
            )
        self.check(observation)
        return replace(self, basis=Basis(callable_tree(denoiser), cond, observation))

    def check(self, observation: Any) -> None:
        """Refuse what the method cannot take; a std of 0 is seen outside jit alone."""
        for need in self.needs:
            if not _has(observation, need):
                raise UsageError(f"{self.name} needs {need}, {_without(observation, need)}; take {TAKES[need]}")

    def inputs(self, first: Any, stages: tuple, last: Any) -> tuple[Any, tuple, Any]:
        """The table's coefficients where they depend on what is measured."""
        return first, stages, last

    def shared(self) -> Any:
        """What the population shares at the beginning (`genkit.chain.Model.shared`)."""
        return None

    def begin(self, keys: Array, first: Any) -> tuple[Any, Array | None]:
        """Particles at the highest level, and their log-weights or None."""
        raise NotImplementedError(f"{type(self).__name__} has no begin")

    def end(self, keys: Array, p: Any, last: Any) -> Array:
        """Items (n, *shape): by default what the particle reconstructs."""
        return self.basis.observation.operator.from_basis(p.x0)


TAKES = {
    "singular values": "DPS, PiGDM, MMPS, TDS, DAPS, REDDiff or ESSFlow, or give a linear operator (dense, mask)",
    "normal noise": "DPS, TDS, DAPS or ESSFlow",
    "noise": "DPS, PiGDM, MMPS or REDDiff, for linear operators also DAPS or DDRM, or give a small std",
    "noise or a linear measurement": "DPS, PiGDM, MMPS or REDDiff, or give a small std",
}


def _has(observation: Any, need: str) -> bool:
    noise = observation.noise
    if need == "singular values":
        return isinstance(observation.operator, LinearOperator)
    if need == "normal noise":
        return isinstance(noise, Normal)
    if need == "noise or a linear measurement" and observation.diagonal:
        return True
    return not isinstance(noise, Normal) or isinstance(noise.std, Tracer) or bool(np.all(np.asarray(noise.std) > 0))


def _without(observation: Any, need: str) -> str:
    if need == "singular values":
        return f"which {type(observation.operator).__name__} has not"
    return f"the measurement has {type(observation.noise).__name__}" if need == "normal noise" else "std is 0"


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """The beginning of a chain."""

    steps: Any
    first: Any

    def __call__(self, keys: Array) -> tuple[Any, Array | None]:
        """Particles and log-weights."""
        return self.steps.begin(keys, self.first)


@register_dataclass
@dataclass(frozen=True)
class Finish(Kernel):
    """The end of a chain: from particles to items (n, *shape)."""

    steps: Any

    def move(self, keys: Array, p: Any, u: Any) -> Array:
        """Items."""
        return self.steps.end(keys, p, u)


@register_dataclass
@dataclass(frozen=True)
class Weighed(Finish):
    """One that is weighed."""

    def log_g(self, p: Any, p1: Array, u: Any) -> Array:
        """The last weight."""
        return self.steps.log_end(p, u)


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, and the kernels of the stages; give it to jitted code as an argument."""

    kernels: tuple[Any, ...]
    """`Steps` that have not been given a measurement."""
    first: Any
    """Coefficients of the beginning."""
    stages: tuple[Any, ...]
    """Coefficients of the stages, leaves (T, ...)."""
    last: Any
    """Coefficients of the end, leaves (1, ...)."""
    process: Any = field(default=None, metadata={"static": True})
    """Of the denoisers that it is for."""

    @property
    def evidence(self) -> bool:
        """Whether log Z estimates log p(y)."""
        return self.kernels[0].evidence

    @property
    def weighs(self) -> bool:
        """Whether particles are weighed; of a method that does not, a group needs no more than its samples."""
        return any(k.log_g is not None or k.look is not None or k.log_end is not None for k in self.kernels)

    @property
    def steps(self) -> Any:
        """Coefficients of the only stage."""
        (steps,) = self.stages
        return steps

    def check(self, observation: Any) -> None:
        """Refuse what the method cannot take; before jit, which hides a std of 0."""
        self.kernels[0].check(observation)

    def model(self, denoiser: Any, observation: Any, cond: Any = None) -> Model:
        """The chain from noise to items (n, *shape); of a method that weighs, log Z estimates log p(y)."""
        kernels = tuple(kernel.given(self.process, denoiser, observation, cond) for kernel in self.kernels)
        head = kernels[0]
        first, stages, last = head.inputs(self.first, self.stages, self.last)
        finish = Finish(head) if head.log_end is None else Weighed(head)
        moves = [one for one in zip(kernels, stages, strict=True) if len(jax.tree.leaves(one[1])[0])]
        return Model(Begin(head, first), (*moves, (finish, last)), head.shared())


class Down(NamedTuple):
    """A step of `Schedule.ddim`; leaves () for one step, (T,) for a stage."""

    keep: Any
    noise: Any
    arrival: Any
    """of the level where it ends"""

    def mean(self, z: Array, d: Array) -> Array:
        """Of the state there, (n, d), from z towards d."""
        return d + self.keep * (z - d)


def first_rest(arrivals: Any) -> tuple[Any, Any]:
    """Coefficients of the first level, and of all others."""
    return jax.tree.map(lambda a: a[0], arrivals), jax.tree.map(lambda a: a[1:], arrivals)
