"""One group of particles: run, and draw from it by its last weights."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Model, State, run, start
from genkit.smc import ess, log_z_variance
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Group:
    """What one group of particles gave."""

    last: State
    """its last population"""
    which: Array
    """(draws,) int, particles drawn by the last weights"""
    log_z_var: Array
    """() estimated variance of the evidence's logarithm; NaN where the group does not tell it (`log_z_variance`)"""
    ess: Array
    """(T + 1,) effective sample size after every weighing"""
    eves: Array
    """() int, how many of the first particles have a descendant"""


def run_group(key: Array, model: Model, particles: int, resampler: Any, draws: int) -> Group:
    """Run the particles of one group; under `jax.vmap` or `jax.lax.map` those of many."""
    key, own = jax.random.split(key)
    first = start(key, model, particles)
    last, kept = run(key, first, model.stages, resampler, keep=_trace)
    which = jax.random.categorical(own, last.log_w, shape=(draws,))
    sizes, resampled = jax.tree.map(lambda a, *b: jnp.concatenate([a[None], *b]), _trace(first), *(kept or ()))
    eves = jnp.zeros(particles, bool).at[last.eve].set(True).sum()
    return Group(last, which, log_z_variance(last, resampled.sum(), resampler), sizes, eves)


def _trace(state: State) -> tuple[Array, Array]:
    """What is kept of every step: the effective sample size, and whether it resampled."""
    return ess(state.log_w), state.resampled
