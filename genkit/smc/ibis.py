"""Data tempering: a posterior followed as the data come, one by one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, State, callable_tree, run, start
from genkit.smc.moves import Move, RandomWalk, adapt, defined, frame, mutate
from genkit.smc.resampling import Resample
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A parameter x, leaves (n, ...), and the acceptance rate of its last moves (n,)."""

    x: PyTree
    accept: Array


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Draws from the prior."""

    draw: Any

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles, no potential."""
        return Particle(jax.vmap(self.draw)(keys), jnp.zeros(keys.shape[0])), None


@register_dataclass
@dataclass(frozen=True)
class Datum(Kernel):
    """Reweigh by one datum; where that makes the resampler act, MCMC on all data so far. The input is its index."""

    log_p0: Any
    log_lik: Any
    data: Any
    move_by: Move
    resample: Resample
    steps: int = field(metadata={"static": True})

    def plan(self, key: Array, state: State, u: Array) -> tuple[Any, Array]:
        """Weights after the datum decide on the move as they will on resampling."""
        log_e = jax.vmap(lambda x: self.log_lik(x, jax.tree.map(lambda a: a[u], self.data)))(state.p.x)
        log_w = state.log_w + defined(log_e)
        step = jnp.where(state.resampled, adapt(self.move_by, state.shared, state.p.accept.mean()), state.shared)
        return (u, log_e, self.resample.due(log_w), frame(state.p.x, log_w, step, self.move_by)), step

    def look(self, keys: Array, p: Particle, u: Any) -> tuple[Particle, Array]:
        """Likelihood of the datum."""
        return p, u[1]

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """MCMC on the posterior of the data so far; none where nothing was resampled."""
        last, _, due, around = u

        def log_prob(x: PyTree) -> Array:
            each = jax.vmap(lambda y: self.log_lik(x, y))(self.data)
            return self.log_p0(x) + jnp.where(jnp.arange(each.shape[0]) <= last, each, 0.0).sum()

        def mcmc(x: PyTree) -> tuple[PyTree, Array]:
            return mutate(keys, x, log_prob, self.move_by, around, self.steps, waste_free=False)

        return Particle(*jax.lax.cond(due, mcmc, lambda x: (x, p.accept), p.x))


@dataclass(frozen=True)
class IBIS:
    """Iterated batch importance sampling: Chopin 2002.

    Posterior and evidence after each datum. MCMC moves see all data so far, and happen only where the effective
    sample size fell below the threshold.
    """

    move: Move = RandomWalk()
    steps: int = 5
    """MCMC steps after each resampling."""
    resample: Resample = Resample()

    def run(
        self,
        key: Array,
        n: int,
        draw: Callable[[Array], PyTree],
        log_p0: Callable[[PyTree], Array],
        log_lik: Callable[[PyTree, Any], Array],
        data: Any,
    ) -> tuple[State, Array]:
        """The posterior of all data as a weighted population, and log p(y_0..y_t), (T,).

        Args:
            key: the key of the run.
            n: number of particles.
            draw: key -> x, from the prior: an array, or any pytree of real numbers.
            log_p0: x -> (), its density.
            log_lik: (x, y) -> (), of one datum y given x (and, for dependent data, what y itself carries).
            data: leaves (T, ...).
        """
        begin = start(key, Model(Begin(callable_tree(draw)), (), jnp.asarray(self.move.step, float)), n)
        data = jax.tree.map(jnp.asarray, data)
        kernel = Datum(callable_tree(log_p0), callable_tree(log_lik), data, self.move, self.resample, self.steps)
        count = jax.tree.leaves(data)[0].shape[0]
        state, kept = run(key, begin, ((kernel, jnp.arange(count)),), self.resample, _log_z)
        assert kept is not None
        return state.warned("IBIS"), kept[0]


def _log_z(state: State) -> Array:
    return state.log_z
