"""Samples of a posterior."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Model, callable_tree
from genkit.diffusion import Denoiser, process_of
from genkit.errors import GenkitError, UsageError
from genkit.kinds import Method
from genkit.smc import Resample
from genkit.steer.draws import Draws, check_numbers, run_groups
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
class Posed:
    """The problem of a group, by its own observation, if there is one for each, and condition."""

    table: Steered
    denoiser: Denoiser
    observation: Any
    particles: int = field(metadata={"static": True})

    def __call__(self, given: tuple[Any, Any]) -> Model:
        """The chain of its particles."""
        own, cond = given
        cond = jax.tree.map(lambda a: jnp.broadcast_to(a, (self.particles, *a.shape)), cond)
        return self.table.model(self.denoiser, self.observation if own is None else own, cond)


def posterior(
    key: Array,
    method: Method | Steered,
    denoiser: Denoiser,
    observation: Any,
    groups: int,
    particles: int = 256,
    draws: int | None = 1,
    cond: Any = None,
    resampler: Any = EVERY_STEP,
    chunk: int | None = None,
) -> Draws:
    """Run independent groups of particles (`run_groups`) and draw from each by its last weights.

    Of a method that does not weigh its particles a group has as many as it gives samples, whatever `particles`. What
    went wrong is said in warnings (`Draws.troubles`).

    Args:
        key: key of the whole.
        method: such as `DDSMC()`, or its `table(process)`, which may be an argument of jitted code.
        denoiser: the prior, (x (n, ...), t, cond) -> E[x_0 | x_t].
        observation: from `observe`; of discrete data from `channel`. Or a sequence of them, one a group, of one
            operator type and shape.
        groups: number of groups.
        particles: particles in a group, of a method that weighs them; with one, samples are those of its proposal.
        draws: samples of each group; None gives all particles with their weights.
        cond: conditions of the groups for the denoiser, leaves (groups, ...).
        resampler: see `genkit.chain.Resampler`; resamples at every step if not given.
        chunk: groups at a time, which bounds memory; all if not given.

    Raises:
        UsageError: numbers that are not positive, what a method cannot take.
        GenkitError: outside jit, where every group failed.
    """
    check_numbers(particles=particles, draws=draws)
    make = getattr(method, "table", None)
    table: Any = make(process_of(denoiser)) if make else method
    own = None
    each = observation if isinstance(observation, list | tuple) else [observation]
    if check := getattr(table, "check", None):
        for one in each:
            check(one)
    if each is observation:
        observation, own = None, _stacked(each, groups)
    if not _weighs(table):  # equal weights: nothing to choose by, and copies would be no samples of their own
        particles, draws, resampler = particles if draws is None else draws, None, None
    model = Posed(table, callable_tree(denoiser), observation, particles)
    result = run_groups(key, model, (own, cond), groups, particles, resampler, draws, chunk)
    troubles = result.troubles()
    if troubles and np.asarray(result.collapsed).all():
        raise GenkitError(troubles[0])
    for trouble in troubles:
        warnings.warn(trouble, RuntimeWarning, stacklevel=2)
    return result if getattr(table, "evidence", True) else replace(result, log_z=jnp.full_like(result.log_z, jnp.nan))


def _stacked(observations: Sequence[Any], groups: int) -> Any:
    """Leaves (groups, ...)."""
    if len(observations) != groups:
        raise UsageError(f"{len(observations)} observations were given for {groups} groups; expected one each, or one")
    kinds = {(jax.tree.structure(o), tuple(jnp.shape(a) for a in jax.tree.leaves(o))) for o in observations}
    if len(kinds) > 1:
        raise UsageError("the observations of the groups have operators of several kinds or shapes; expected one kind")
    return jax.tree.map(lambda *a: jnp.stack(a), *observations)


def weighs(method: Method, denoiser: Denoiser) -> bool:
    """Whether a method weighs its particles."""
    return _weighs(method.table(process_of(denoiser)))


def _weighs(table: Any) -> bool:
    """A table that does not say may weigh."""
    return getattr(table, "weighs", True)
