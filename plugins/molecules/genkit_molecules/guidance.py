"""Training of an order-agnostic model of graphs and of its discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.discrete import Orders, order_agnostic_loss
from genkit.kinds import Network, Optimizer
from genkit.nn import functional
from genkit.steer import discriminator_loss
from genkit.train import Phase, TrainState, make_step
from genkit_molecules.denoisers import GraphDenoiser, GraphLogOdds, real_sites
from genkit_molecules.graphs import allowed, atoms, classes
from genkit_molecules.networks.graph_transformer import transfer

Array = jax.Array
Batch = Any
"""(x (B, D) int, mask (B, n) bool or None)"""


def generator(network: Network, elements: int) -> Any:
    """The function of parameters that the network is."""
    return functional(network.build(nnx.Rngs(0), elements))[0]


def discriminator(network: Network, elements: int) -> Any:
    """The same of the network with the head of a discriminator."""
    return functional(network.build(nnx.Rngs(0), elements, "discriminator"))[0]


def denoiser_of(network: Network, elements: int, params: Any) -> GraphDenoiser:
    """A trained model."""
    return GraphDenoiser(params, generator(network, elements), elements)


def log_odds_of(network: Network, elements: int, params: Any) -> GraphLogOdds:
    """A trained discriminator."""
    return GraphLogOdds(params, discriminator(network, elements), elements)


def generator_phase(
    network: Network,
    elements: int,
    loss: Callable[[Array, GraphDenoiser, Array, Any], Array],
    optimizer: Optimizer,
    steps: int,
    draw: Callable[[Any, Array], Batch],
    data: Any = None,
    every: tuple = (),
) -> Phase:
    """Train the model by loss(key, model, x, mask); `draw(batch, key)` gives the graphs of a step."""
    apply, rule = generator(network, elements), optimizer.build(steps)

    def objective(params: Any, aux: None, batch: Any, key: Array) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        x, mask = draw(batch, k_draw)
        return loss(k_loss, GraphDenoiser(params, apply, elements, k_drop), x, mask), (aux, {})

    def init(key: Array) -> TrainState:
        return TrainState.create(functional(network.build(nnx.Rngs(key), elements))[1], rule, ema=False)

    return Phase("generator", init, make_step(objective, rule), data, steps, every=every)


def bound(key: Array, model: GraphDenoiser, x: Array, mask: Array | None, orders: Orders) -> Array:
    """Mean bound on -log p(x), nats a graph."""
    cond, real = (None, None) if mask is None else ({"mask": mask}, real_sites(mask))
    legal = allowed(atoms(x.shape[1]), model.elements)
    return order_agnostic_loss(key, model, x, cond, classes(model.elements), real, legal, orders)


def discriminator_phase(
    network: Network,
    elements: int,
    orders: Orders,
    optimizer: Optimizer,
    steps: int,
    draw: Callable[[Any, Array], tuple[Array, Array, Array | None]],
    start: Any,
    data: Any = None,
    every: tuple = (),
) -> Phase:
    """Train the discriminator from the parameters of the generator; `draw` gives real and generated graphs, mask."""
    apply, rule = discriminator(network, elements), optimizer.build(steps)

    def loss(params: Any, aux: None, batch: Any, key: Array) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        real, fake, mask = draw(batch, k_draw)
        log_odds = GraphLogOdds(params, apply, elements, k_drop)
        return discriminate(k_loss, log_odds, real, fake, mask, orders), (aux, {})

    def init(key: Array) -> TrainState:
        fresh = functional(network.build(nnx.Rngs(key), elements, "discriminator"))[1]
        return TrainState.create(transfer(start, fresh), rule, ema=False)

    return Phase("discriminator", init, make_step(loss, rule), data, steps, every=every)


def discriminate(key: Array, log_odds: Any, real: Array, fake: Array, mask: Array | None, orders: Orders) -> Array:
    """Mean cross-entropy at partial states."""
    cond, shown = (None, None) if mask is None else ({"mask": mask}, real_sites(mask))
    return discriminator_loss(key, log_odds, real, fake, classes(log_odds.elements), cond, shown, orders)


def in_parts(f: Callable[[Array], Array], x: Array, size: int) -> Array:
    """f over the rows of x, so many at a time; one compiled program."""
    count = -(-len(x) // size)
    padded = jnp.concatenate([x, jnp.broadcast_to(x[:1], (count * size - len(x), *x.shape[1:]))])
    parts = jax.lax.map(f, padded.reshape(count, size, *x.shape[1:]))
    return parts.reshape(-1, *parts.shape[2:])[: len(x)]
