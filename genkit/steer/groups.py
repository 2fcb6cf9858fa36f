"""One group of particles: run, and draw from it by its last weights."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Model, State, run, start
from genkit.smc import ess
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
    ess: Array
    """(T + 1,) effective sample size after every weighing"""
    eves: Array
    """() int, how many of the first particles have a descendant"""


def run_group(key: Array, model: Model, particles: int, resampler: Any, draws: int) -> Group:
    """Run the particles of one group; under `jax.vmap` or `jax.lax.map` those of many."""
    key, own = jax.random.split(key)
    first = start(key, model, particles)
    last, kept = run(key, first, model.stages, resampler, keep=_size)
    which = jax.random.categorical(own, last.log_w, shape=(draws,))
    sizes = jnp.concatenate([_size(first)[None], *(kept or ())])
    eves = jnp.zeros(particles, bool).at[last.eve].set(True).sum()
    return Group(last, which, sizes, eves)


def _size(state: State) -> Array:
    return ess(state.log_w)
