"""Samples under discriminator guidance, from many independent groups of particles, one compiled program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Model, callable_tree
from genkit.discrete import Denoiser, OrderAgnostic, conditioned
from genkit.errors import UsageError
from genkit.parallel import in_chunks
from genkit.steer.discriminator import BSDG
from genkit.steer.groups import run_group
from genkit.steer.potentials import LogPotential
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Guided:
    """Samples, and the weighted particles that they were drawn from."""

    x: Array
    """(groups, draws, *sites) samples"""
    particles: Array
    """(groups, particles, *sites)"""
    log_w: Array
    """(groups, particles), normalised in each group"""
    log_z: Array
    """(groups,) log of the estimate of E_p[W(x)], unbiased before the logarithm"""
    ess: Array
    """(groups, T + 1) effective sample size after every weighing"""
    collapsed: Array
    """(groups,) bool, whether all weights vanished at some step; the samples are then not to be trusted"""


def guide(
    key: Array,
    method: BSDG,
    sampler: Any,
    denoiser: Denoiser,
    log_potential: LogPotential,
    shape: tuple[int, ...],
    cond: Any = None,
    draws: int = 1,
    chunk: int | None = None,
    slots: Array | None = None,
    mask: Array | None = None,
) -> Guided:
    """Run independent groups of particles and draw from each by its last weights; one compiled program.

    The draws of one group share ancestors: for independent samples take one of each.

    Args:
        key: key of the whole; group g does not depend on how many there are, nor on `chunk`.
        method: `ARDG()`, `BSDG(particles)` or `FADG(particles)`.
        sampler: such as `OrderAgnostic(classes)`.
        denoiser: the model p, logits (n, *sites, K).
        log_potential: see `LogPotential`.
        shape: (groups, *sites).
        cond: leaves (groups, ...), what denoiser and potential are conditioned on.
        draws: samples of each group.
        chunk: groups at a time, which bounds memory; all if not given.
        slots: (groups,) int, places of these groups in a larger whole; a draw in parts equals one draw.
        mask: (groups, *sites) bool, the sites that are real; the others come back as 0.
    """
    groups = shape[0]
    for name, value in {"groups": groups, "draws": draws, "chunk": chunk or groups}.items():
        if value < 1:
            raise UsageError(f"{name}={value} is too few; expected at least 1")
    for leaf in jax.tree.leaves(cond):
        if leaf.shape[:1] != (groups,):
            raise UsageError(f"cond has a leaf of shape {leaf.shape}; its first axis must be the {groups} groups")
    if method.order == "group" and not isinstance(sampler, OrderAgnostic):
        raise UsageError("order='group' needs a sampler with orders, OrderAgnostic")
    chain = sampler.model(callable_tree(denoiser), (method.particles, *shape[1:]))
    chain = replace(chain, init=callable_tree(chain.init))
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(groups) if slots is None else slots)
    if mask is not None and jnp.shape(mask) != tuple(shape):
        raise UsageError(f"mask has shape {jnp.shape(mask)}; expected {tuple(shape)}, of every group")
    return _groups(keys, method, chain, callable_tree(log_potential), cond, mask, draws, chunk)


@partial(jax.jit, static_argnames=("draws", "chunk"))
def _groups(
    keys: Array,
    method: BSDG,
    chain: Model,
    log_potential: Any,
    cond: Any,
    mask: Array | None,
    draws: int,
    chunk: int | None,
) -> Guided:
    n = method.particles

    def group(given: tuple[Array, Any, Any]) -> Guided:
        key, cond, mask = given
        cond = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), cond)
        own_chain = conditioned(chain, cond, mask)
        if method.order == "group":
            key, own = jax.random.split(key)
            begin: Any = own_chain.init
            order = begin.orders.draw(own, jnp.broadcast_to(begin.setting.mask, begin.shape)[0].ravel())
            own_chain = replace(own_chain, init=replace(begin, order=order))
        model = method.model(own_chain, log_potential)
        done = run_group(key, model, n, method.resampler, draws)
        x = done.last.p.p.x
        return Guided(x[done.which], x, done.last.log_w, done.last.log_z, done.ess, done.last.collapsed)

    return in_chunks(group, (keys, cond, mask), chunk or keys.shape[0])
