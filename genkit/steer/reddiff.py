"""Regularisation by denoising diffusion for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.chain import Kernel, Model
from genkit.diffusion import EDM, Denoiser, Grid, Process, process_of
from genkit.errors import UsageError
from genkit.steer.basis import Basis, basis_of
from genkit.steer.operators import Observation
from genkit.steer.schedule import Schedule
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """The mean of the variational law, (n, *shape), and the optimiser's state of each particle.

    Not in the basis of the operator, since Adam treats every number on its own.
    """

    x: Array
    adam: Any
    """leaves (n, ...)"""


@register_dataclass
@dataclass(frozen=True)
class Inputs:
    """Of a step; leaves () for one step, (T,) for a stage."""

    s: Any
    weight: Any
    """of the prior's gradient"""
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True)
class Descend(Kernel):
    """A step of Adam down the data's gradient and that of the prior at one level."""

    basis: Basis
    rate: Any
    data: Any

    @property
    def adam(self) -> optax.GradientTransformation:
        """The optimiser."""
        return optax.adam(self.rate, b1=0.9, b2=0.99)

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """One network call."""
        singular, c, _ = self.basis.measured
        operator, r = self.basis.observation.operator, singular.size
        mean = operator.to_basis(p.x)
        d = self.basis.denoised(mean + u.s * self.basis.noise(keys), u.time, u.alpha)
        gradient = u.weight * (mean - d) / u.s  # the noise that the network sees beyond eps
        gradient = gradient.at[:, :r].add(self.data * singular * (singular * mean[:, :r] - c))
        shift, adam = jax.vmap(self.adam.update)(operator.from_basis(gradient), p.adam)
        return Particle(optax.apply_updates(p.x, shift), adam)  # type: ignore[arg-type]


@register_dataclass
@dataclass(frozen=True)
class Finish(Kernel):
    """The mean is the answer."""

    def move(self, keys: Array, p: Particle, u: Any) -> Array:
        """(n, *shape)."""
        return p.x


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Zeros."""

    step: Descend

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        zero = jnp.zeros((len(keys), *self.step.basis.observation.operator.shape), float)
        return Particle(zero, jax.vmap(self.step.adam.init)(zero)), None


@register_dataclass
@dataclass(frozen=True)
class Table:
    """Coefficients of all steps, computed in float64 outside jit; give it to jitted code as an argument."""

    steps: Inputs
    rate: Any
    data: Any
    process: Process = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """The chain from zero to items (n, *shape)."""
        step = Descend(basis_of(self.process, denoiser, cond, observation), self.rate, self.data)
        return Model(Begin(step), ((step, self.steps), (Finish(), np.zeros(1))))


@dataclass(frozen=True)
class REDDiff(Schedule):
    """RED-diff (Mardani et al. 2023, arXiv 2305.04391): the x_0 that fits y and looks clean at every noise level.

    Adam (0.9, 0.99) from zero on the gradient data A^T (A x - y) + weight s^power (eps_hat - eps), a noise level and a
    draw of eps a step, eps_hat being the noise that the network finds in x + s eps; no derivative of the network. The
    std of the measurement is not used: `data` over `weight` stands for it. The answer is one point, the mode of what
    it minimises, and its samples differ by what the optimiser leaves: they are not those of a posterior.
    """

    steps: int = 1000
    """Steps and noise levels; at least 2."""
    sigma_min: float | None = None
    """Lowest level above zero; none is the lowest of the process."""
    sigma_max: float | None = None
    """Highest level; none is the highest of the process."""
    grid: Grid = "time"
    """What is evenly spaced: s^(1/rho), log s, time t, sqrt t or log t."""
    rate: float = 0.02
    """Learning rate of Adam, about the length of a step in each number."""
    data: float = 1.0
    """Weight of the data's gradient."""
    weight: float = 0.25
    """Weight of the prior's gradient."""
    power: float = 0.0
    """Power of the noise level in the prior's weight; 1 in the paper, whose weight falls with the noise."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        for name in ("rate", "data", "weight"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name}={getattr(self, name)} must be positive")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        weight = self.weight * levels.s**self.power
        return Table(Inputs(levels.s, weight, levels.t, levels.alpha), self.rate, self.data, process)

    def model(self, denoiser: Denoiser, observation: Observation, cond: Any = None) -> Model:
        """See `Table.model`."""
        return self.table(process_of(denoiser)).model(denoiser, observation, cond)
