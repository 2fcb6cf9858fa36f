"""Samples of a posterior from many independent groups of particles, one compiled program."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.core import Tracer

from genkit.chain import Model, callable_tree
from genkit.diffusion import Denoiser, process_of
from genkit.errors import GenkitError, UsageError
from genkit.kinds import Method
from genkit.parallel import in_chunks
from genkit.smc import Resample
from genkit.steer.groups import run_group
from genkit.steer.operators import Observation
from genkit.tree import register_dataclass

Array = jax.Array

EVERY_STEP = Resample(threshold=1.0)


class Steered(Protocol):
    """Coefficients of a method, a pytree; the last particles of its model are items (n, *shape)."""

    def model(self, denoiser: Denoiser, observation: Any, cond: Any = None) -> Model:
        """The chain under the potentials of an observation."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Draws:
    """What independent groups of particles gave."""

    x: Array
    """(groups, draws, *shape) samples"""
    log_z: Array
    """(groups,) log of the estimated evidence p(y), unbiased before the logarithm"""
    log_z_var: Array
    """(groups,) estimated variance of `log_z`, from the group alone; NaN where that does not tell it, as after any
    resampling but multinomial (`genkit.smc.log_z_variance`)"""
    ess: Array
    """(groups, T + 1) effective sample size after every weighing"""
    eves: Array
    """(groups,) int, how many of the first particles have a descendant"""
    collapsed: Array
    """(groups,) bool, whether all weights vanished"""


def posterior(
    key: Array,
    method: Method | Steered,
    denoiser: Denoiser,
    observation: Any,
    groups: int,
    particles: int = 256,
    draws: int = 1,
    cond: Any = None,
    resampler: Any = EVERY_STEP,
    chunk: int | None = None,
) -> Draws:
    """Run independent groups of particles and draw from each by its last weights.

    The draws of one group share ancestors: for independent samples take one of each. With one particle a group there
    is nothing to weigh: samples are those of the proposal.

    Args:
        key: key of the whole; group g does not depend on how many there are, nor on `chunk`.
        method: such as `DDSMC()`, or its `table(process)`, which may be an argument of jitted code.
        denoiser: the prior, (x (n, ...), t, cond) -> E[x_0 | x_t].
        observation: from `observe`; of discrete data from `channel`.
        groups: number of groups.
        particles: particles in a group.
        draws: samples of each group.
        cond: condition of the denoiser for `particles` items, the same in each group.
        resampler: see `genkit.chain.Resampler`; resamples at every step if not given.
        chunk: groups at a time, which bounds memory; all if not given.

    Raises:
        UsageError: numbers that are not positive.
        GenkitError: outside jit, where all weights of a group vanished or became NaN.
    """
    for name, value in {"groups": groups, "particles": particles, "draws": draws, "chunk": chunk or groups}.items():
        if value < 1:
            raise UsageError(f"{name}={value} is too few; expected at least 1")
    make = getattr(method, "table", None)
    table: Any = make(process_of(denoiser)) if make else method
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(groups))
    resampler = None if resampler is None else callable_tree(resampler)
    result = _groups(keys, table, callable_tree(denoiser), observation, cond, resampler, particles, draws, chunk)
    bad = result.collapsed | jnp.isnan(result.log_z)
    if not isinstance(bad, Tracer) and bad.any():
        raise GenkitError(
            f"all weights vanished in {int(bad.sum())} of {groups} groups: no particle explains the measurement; take "
            "more particles, more steps or a larger std, and check that y has the units of the data"
        )
    return result


@partial(jax.jit, static_argnames=("particles", "draws", "chunk"))
def _groups(
    keys: Array,
    table: Steered,
    denoiser: Denoiser,
    observation: Any,
    cond: Any,
    resampler: Any,
    particles: int,
    draws: int,
    chunk: int | None,
) -> Draws:
    model = table.model(denoiser, observation, cond)

    def group(key: Array) -> Draws:
        done = run_group(key, model, particles, resampler, draws)
        last = done.last
        return Draws(last.p[done.which], last.log_z, done.log_z_var, done.ess, done.eves, last.collapsed)

    return in_chunks(group, keys, chunk or keys.shape[0])


def weighs(method: Method, denoiser: Denoiser, observation: Observation) -> bool:
    """Whether a method weighs its particles; of one that does not, a group needs no more than one."""
    model = method.table(process_of(denoiser)).model(callable_tree(denoiser), observation)
    return any(kernel.log_g is not None or kernel.look is not None for kernel, _ in model.stages)
