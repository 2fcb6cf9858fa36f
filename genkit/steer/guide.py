"""Samples of any chain under a function of its states: a discriminator, a classifier, a reward."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Model, callable_tree
from genkit.diffusion import process_of
from genkit.discrete import conditioned
from genkit.errors import UsageError
from genkit.steer.discriminator import BSDG
from genkit.steer.draws import Draws, run_groups
from genkit.steer.potentials import StateFunction
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Discrete:
    """A chain of `genkit.discrete`, made before its conditions are known."""

    chain: Model

    def __call__(self, cond: Any, mask: Array | None) -> Model:
        """The chain of a group."""
        return conditioned(self.chain, cond, mask)


@register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """A chain of `genkit.diffusion`."""

    table: Any
    denoiser: Any
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, cond: Any, mask: Array | None) -> Model:
        """The chain of a group."""
        return self.table.model(self.denoiser, self.shape, cond)


@register_dataclass
@dataclass(frozen=True)
class Guided:
    """The chain of a group under the potential."""

    method: BSDG
    chain: Discrete | Gaussian
    says: Any

    def __call__(self, given: tuple[Any, Array | None, Array | None]) -> Model:
        """With the condition, the mask and, where it has one order for all its particles, the key of the group."""
        cond, mask, key = given
        n = self.method.particles
        cond = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), cond)
        chain = self.chain(cond, mask)
        if key is not None:
            begin: Any = chain.init
            order = begin.orders.draw(key, jnp.broadcast_to(begin.setting.mask, begin.shape)[0].ravel())
            chain = replace(chain, init=replace(begin, order=order))
        return self.method.model(chain, self.says)


def guide(
    key: Array,
    method: BSDG,
    sampler: Any,
    denoiser: Any,
    says: StateFunction,
    shape: tuple[int, ...],
    cond: Any = None,
    draws: int | None = 1,
    chunk: int | None = None,
    slots: Array | None = None,
    mask: Array | None = None,
) -> Draws:
    """Run independent groups of particles (`run_groups`) and draw from each by its last weights.

    Args:
        key: key of the whole.
        method: `BSDG(particles)`; for `OrderAgnostic` also `ARDG()` or `FADG(particles)`.
        sampler: of `genkit.discrete`, such as `OrderAgnostic(classes)`, or of `genkit.diffusion.samplers`; one that
            adds noise, since copies of a particle never part again without.
        denoiser: the model p that the sampler calls.
        says: log of the weight of a state, see `StateFunction`.
        shape: (groups, ...).
        cond: leaves (groups, ...), what denoiser and `says` are conditioned on.
        draws: samples of each group; None gives all particles with their weights.
        chunk: groups at a time, which bounds memory; all if not given.
        slots: (groups,) int, places of these groups in a larger whole; a draw in parts equals one draw.
        mask: (groups, *sites) bool, the sites of discrete data that are real; the others come back as 0.
    """
    groups, *item = shape
    if mask is not None and jnp.shape(mask) != tuple(shape):
        raise UsageError(f"mask has shape {jnp.shape(mask)}; expected {tuple(shape)}, of every group")
    denoiser, size = callable_tree(denoiser), (method.particles, *item)
    table = getattr(sampler, "table", None)
    if table is None:
        chain = sampler.model(denoiser, size)
        made: Any = Discrete(replace(chain, init=callable_tree(chain.init)))
    elif mask is None:
        made = Gaussian(table(process_of(denoiser)), denoiser, size)
    else:
        raise UsageError("a mask was given to a sampler of Gaussian diffusion, which has no sites")
    orders = None
    if method.order == "group":
        if table is not None or not hasattr(made.chain.init, "orders"):
            raise UsageError("order='group' needs a sampler with orders, OrderAgnostic")
        places = jnp.arange(groups) if slots is None else slots
        orders = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, 2**32 - 1), places)
    model = Guided(method, made, callable_tree(says))
    return run_groups(
        key, model, (cond, mask, orders), groups, method.particles, method.resampler, draws, chunk, slots
    )  # fmt: skip
