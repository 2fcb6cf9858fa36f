"""Networks with their heads, and their training: models, and what discriminators and classifiers say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.discrete import Orders, order_agnostic_loss
from genkit.kinds import Network, Optimizer
from genkit.nn import functional, traced_rngs, transfer
from genkit.train import Phase, TrainState, make_step
from genkit_molecules.denoisers import GraphDenoiser, GraphLogOdds, SequenceLogOdds, SequenceNet, real_sites
from genkit_molecules.graphs import allowed, atoms, classes

Array = jax.Array
Kind = Literal["generator", "discriminator"]


@dataclass(frozen=True, eq=False)
class Head:
    """A network with its head: how its parameters are made, and the function of states that they give."""

    build: Callable[[nnx.Rngs], nnx.Module]
    wrap: Callable[[Any, Any, Any], Any]
    """(parameters, the network as a function of them, key for dropout or None) -> denoiser or log-odds"""

    @cached_property
    def apply(self) -> Any:
        """The network as a function of its parameters, always the same one."""
        return functional(self.build(nnx.Rngs(0)))[0]

    def init(self, key: Array) -> Any:
        """Fresh parameters."""
        return functional(self.build(traced_rngs(key)))[1]

    def net(self, params: Any, key: Any = None) -> Any:
        """The denoiser or the log-odds of these parameters."""
        return self.wrap(params, self.apply, key)


@cache
def graph_head(network: Network, elements: tuple[str, ...], kind: Kind = "generator", conditions: int = 0) -> Head:
    """A network on graphs as a denoiser, or as log-odds of a discriminator or classifier."""
    make = GraphDenoiser if kind == "generator" else GraphLogOdds
    build: Any = network.build
    return Head(
        lambda rngs: build(rngs, elements, kind, conditions=conditions),
        lambda params, apply, key: make(params, apply, len(elements), key),
    )


@cache
def sequence_head(network: Network, letters: int, kind: Kind = "generator", conditions: int = 0) -> Head:
    """The same of a network on sequences of so many letters."""
    make = SequenceNet if kind == "generator" else SequenceLogOdds
    build: Any = network.build
    return Head(
        lambda rngs: build(rngs, letters, kind, conditions=conditions),
        lambda params, apply, key: make(params, apply, key),
    )


def phase(
    name: str,
    head: Head,
    loss: Callable[[Array, Any, Any], Array],
    optimizer: Optimizer,
    steps: int,
    draw: Callable[[Any, Array], Any],
    data: Any = None,
    every: tuple = (),
    start: Any = None,
    clip: float | None = None,
) -> Phase:
    """Train by loss(key, denoiser or log-odds, draw(batch, key)), from the parameters `start` wherever they fit."""
    rule = optimizer.build(steps)

    def objective(params: Any, aux: None, batch: Any, key: Array) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        return loss(k_loss, head.net(params, k_drop), draw(batch, k_draw)), (aux, {})

    def init(key: Array) -> TrainState:
        fresh = head.init(key)
        return TrainState.create(fresh if start is None else transfer(start, fresh), rule, ema=False)

    return Phase(name, init, make_step(objective, rule, clip=clip), data, steps, every=every)


def bound(key: Array, model: GraphDenoiser, x: Array, cond: Any, orders: Orders) -> Array:
    """Mean bound on -log p(x), nats a graph."""
    legal = allowed(atoms(x.shape[1]), model.elements)
    return order_agnostic_loss(key, model, x, cond, classes(model.elements), shown(cond), legal, orders)


def shown(cond: Any) -> Array | None:
    """Which sites of graphs are real, of a condition."""
    return None if cond is None else real_sites(cond["mask"])


def in_parts(f: Callable[[Array], Array], x: Array, size: int) -> Array:
    """f over the rows of x, so many at a time; one compiled program."""
    count = -(-len(x) // size)
    padded = jnp.concatenate([x, jnp.broadcast_to(x[:1], (count * size - len(x), *x.shape[1:]))])
    parts = jax.lax.map(f, padded.reshape(count, size, *x.shape[1:]))
    return parts.reshape(-1, *parts.shape[2:])[: len(x)]
