"""Regularisation by denoising diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.diffusion import EDM, Grid, Process
from genkit.kinds import SIGNED
from genkit.steer.method import Schedule, Steps, Table
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class REDDiff(Schedule):
    """RED-diff (Mardani et al. 2023, arXiv 2305.04391): the x_0 that fits y and looks clean at every noise level.

    Adam (0.9, 0.99) from zero on the gradient data A^T (A x - y) + weight s^power (eps_hat - eps), a noise level and a
    draw of eps a step, eps_hat being the noise that the network finds in x + s eps; no derivative of the network. The
    std of the measurement is not used: `data` over `weight` stands for it. The answer is one point, the mode of what
    it minimises, and its samples differ by what the optimiser leaves: they are not those of a posterior. Takes any
    differentiable operator.
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
    power: Annotated[float, SIGNED] = 0.0
    """Power of the noise level in the prior's weight; 1 in the paper, whose weight falls with the noise."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.positive("rate", "data", "weight")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        steps = Inputs(levels.s, self.weight * levels.s**self.power, levels.t, levels.alpha)
        return Table((Descend(rate=self.rate, data=self.data),), None, (steps,), np.zeros(1), process)


class Particle(NamedTuple):
    """The mean of the variational law, (n, *shape), and the optimiser's state of each particle.

    Not in the basis of the operator, since Adam treats every number on its own.
    """

    x: Array
    adam: Any
    """leaves (n, ...)"""


class Inputs(NamedTuple):
    """Of a step; leaves () for one step, (T,) for a stage."""

    s: Any
    weight: Any
    """of the prior's gradient"""
    time: Any
    alpha: Any


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Descend(Steps):
    """A step of Adam down the data's gradient and that of the prior at one level."""

    name = "REDDiff"
    needs = ("normal noise",)

    rate: Any = None
    data: Any = None

    @property
    def adam(self) -> optax.GradientTransformation:
        """The optimiser."""
        return optax.adam(self.rate, b1=0.9, b2=0.99)

    def begin(self, keys: Array, first: None) -> tuple[Particle, None]:
        """Zeros."""
        zero = jnp.zeros((len(keys), *self.basis.observation.operator.shape), float)
        return Particle(zero, jax.vmap(self.adam.init)(zero)), None

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """One network call."""
        operator = self.basis.observation.operator
        mean = operator.to_basis(p.x)
        near = self.basis.observation.linearised(mean)
        d = self.basis.denoised(mean + u.s * self.basis.noise(keys), u.time, u.alpha)
        # the noise that the network sees beyond eps, and the misfit of the data
        gradient = u.weight * (mean - d) / u.s - self.data * near.back(near.gap)
        shift, adam = jax.vmap(self.adam.update)(operator.from_basis(gradient), p.adam)
        return Particle(optax.apply_updates(p.x, shift), adam)  # type: ignore[arg-type]

    def end(self, keys: Array, p: Particle, last: Any) -> Array:
        """The mean is the answer."""
        return p.x
