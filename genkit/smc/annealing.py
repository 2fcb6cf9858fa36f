"""Annealed importance sampling: tempering without resampling, by particles that go their own ways."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Model, State, callable_tree, run, start
from genkit.errors import UsageError
from genkit.smc.moves import HMC, Move
from genkit.smc.tempering import Begin, LogProb, Progress, Temper, counted, record_accept

Array = jax.Array


@dataclass(frozen=True)
class AnnealedImportance:
    """Neal 2001: each particle is moved along the geometric path, and weighs the ratios of the densities on its way.

    Step sizes and scales of the moves come from the population, as in `Tempering`, but all particles count alike.
    """

    move: Move = HMC()
    temperatures: int = 100
    """Exponents b, at (k / temperatures)^power."""
    steps: int = 1
    """MCMC steps at each."""
    power: float = 4.0
    """Above 1 they are denser near the base, where the density changes most."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.temperatures < 1 or self.steps < 1 or self.power <= 0:
            raise UsageError(
                f"temperatures={self.temperatures} and steps={self.steps} must be at least 1, "
                f"power={self.power} above 0"
            )

    @property
    def exponents(self) -> np.ndarray:
        """(temperatures,), the last one 1."""
        return (np.arange(1, self.temperatures + 1) / self.temperatures) ** self.power

    def run(self, key: Array, n: int, draw: Callable[[Array], Array], log_p0: LogProb, log_p: LogProb) -> State:
        """A weighted population from p; arguments and result are those of `Tempering.run`."""
        f0, f = callable_tree(log_p0), callable_tree(log_p)
        zero, none = jnp.zeros((), float), jnp.zeros(self.temperatures)
        shared = Progress(zero, zero + self.move.step, none, none, none)
        begin = counted(start(key, Model(Begin(callable_tree(draw), f0, f), (), shared), n))
        kernel = Temper(f0, f, 1.0, self.move, self.steps, waste_free=False, weighed=False)
        end, _ = run(key, begin, ((kernel, self.exponents),))
        return replace(end, shared=record_accept(end.shared, end)).warned("AnnealedImportance")
