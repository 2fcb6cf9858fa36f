"""Independent groups of particles, the one place where steered chains run: in chunks, over all devices of the mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import State, callable_tree, run, start
from genkit.errors import UsageError
from genkit.parallel import in_chunks
from genkit.smc import ess, log_z_variance
from genkit.steer.method import Ended
from genkit.tree import register_dataclass

Array = jax.Array
RESIDUAL = 0.1  # of |b|, above which a system is said not to be solved


@register_dataclass
@dataclass(frozen=True)
class Draws:
    """What independent groups of particles gave; leaves (groups, ...)."""

    x: Any
    """(groups, draws, ...) samples, drawn by the last weights; or all particles"""
    log_w: Array
    """(groups, draws) log-weights of these, normalised in each group: equal ones of samples"""
    log_z: Array
    """(groups,) log of the estimate of the evidence p(y), or of E[W(x)], unbiased before the logarithm; NaN of a method
    that has none"""
    log_z_var: Array
    """(groups,) estimated variance of `log_z`, from the group alone; NaN where that does not tell it, as after any
    resampling but multinomial (`genkit.smc.log_z_variance`)"""
    ess: Array
    """(groups, T + 1) effective sample size after every weighing"""
    eves: Array
    """(groups,) int, how many of the first particles have a descendant"""
    collapsed: Array
    """(groups,) bool, whether all weights vanished at some step, or a sample is none: NaN, or failed by its method"""
    undefined: Array
    """(groups,) int, how many particles with a weight met a potential of NaN or +inf, which counts as zero"""
    said: dict[str, Array]
    """What a method says of its samples, (groups, draws) by name"""

    def troubles(self) -> tuple[str, ...]:
        """What went wrong, a sentence each. Nothing of traced values."""
        if isinstance(self.collapsed, Tracer):
            return ()
        collapsed, undefined = np.asarray(self.collapsed), np.asarray(self.undefined)
        found = []
        if collapsed.any():
            found.append(
                f"no particle explains what was asked for in {collapsed.sum()} of {collapsed.size} groups (all weights "
                "vanished, or samples are NaN), whose samples are none; take more particles, more steps or a larger "
                "std, and check that y has the units of the data"
            )
        if undefined.any():
            found.append(f"{undefined.sum()} particles met a potential of NaN or +inf, which counts as zero")
        if "residual" in self.said and (left := float(np.max(self.said["residual"]))) > RESIDUAL:
            found.append(f"systems were left with relative residuals of up to {left:.2g}; take more iterations")
        return tuple(found)


def check_numbers(**numbers: int | None) -> None:
    """Refuse what is below 1."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UsageError(f"{name}={value} is too few; expected at least 1")


def run_groups(
    key: Array,
    model: Any,
    given: Any,
    groups: int,
    particles: int,
    resampler: Any,
    draws: int | None = 1,
    chunk: int | None = None,
    slots: Array | None = None,
) -> Draws:
    """Run groups of particles and draw from each by its last weights; one compiled program.

    The draws of one group share ancestors: for independent samples take one of each.

    Args:
        key: of the whole; group g does not depend on how many there are, nor on `chunk`.
        model: (given of a group) -> its `genkit.chain.Model`, a pytree or a plain function.
        given: what each group has of its own: leaves (groups, ...).
        groups: number of groups.
        particles: particles in a group.
        resampler: see `genkit.chain.Resampler`; None never resamples.
        draws: samples of each group; None gives all particles with their weights.
        chunk: groups at a time, which bounds memory; all if not given.
        slots: (groups,) int, places of these groups in a larger whole; a run in parts equals one run.
    """
    check_numbers(groups=groups, particles=particles, draws=draws, chunk=chunk)
    for leaf in jax.tree.leaves(given):
        if jnp.shape(leaf)[:1] != (groups,):
            raise UsageError(f"a leaf of shape {jnp.shape(leaf)} was given; its first axis must be the {groups} groups")
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(groups) if slots is None else slots)
    resampler = None if resampler is None else callable_tree(resampler)
    return _groups(keys, callable_tree(model), given, resampler, particles, draws, chunk)


@partial(jax.jit, static_argnames=("particles", "draws", "chunk"))
def _groups(
    keys: Array, model: Any, given: Any, resampler: Any, particles: int, draws: int | None, chunk: int | None
) -> Draws:
    def group(own: tuple[Array, Any]) -> Draws:
        key, last = jax.random.split(own[0])
        chain = model(own[1])
        first = start(key, chain, particles)
        state, kept = run(key, first, chain.stages, resampler, keep=_trace)
        sizes, resampled = jax.tree.map(lambda a, *b: jnp.concatenate([a[None], *b]), _trace(first), *(kept or ()))
        eves = jnp.zeros(particles, bool).at[state.eve].set(True).sum()
        variance = log_z_variance(state, resampled.sum(), resampler)
        end, log_w = state.p if isinstance(state.p, Ended) else Ended(state.p, {}), state.log_w
        end = replace(end, failed=jnp.broadcast_to(end.failed, log_w.shape))
        if draws is not None:
            which = jax.random.categorical(last, log_w, shape=(draws,))
            end, log_w = jax.tree.map(lambda a: a[which], end), jnp.full(draws, -jnp.log(draws), log_w.dtype)
        lost = ((end.failed | _none(end.x)) & (log_w > -jnp.inf)).any()
        return Draws(
            end.x, log_w, state.log_z, variance, sizes, eves, state.collapsed | lost, state.undefined, end.said
        )  # fmt: skip

    return in_chunks(group, (keys, given), chunk or keys.shape[0])


def _none(x: Any) -> Array:
    """(n,) bool, items with a number that is not finite."""
    wrong = [~jnp.isfinite(a.reshape(a.shape[0], -1)).all(1) for a in jax.tree.leaves(x)]
    return jnp.stack(wrong).any(0)


def _trace(state: State) -> tuple[Array, Array]:
    """What is kept of every step: the effective sample size, and whether it resampled."""
    return ess(state.log_w), state.resampled
