"""Training of a model of graphs, of its discriminator, and of classifiers of partly hidden graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
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
Batch = tuple[Array, Any]
"""x (B, D) int, and conditions as in `GraphDenoiser`"""


@cache
def generator(network: Network, elements: tuple[str, ...], conditions: int = 0) -> Any:
    """The function of parameters that the network is."""
    return functional(network.build(nnx.Rngs(0), elements, conditions=conditions))[0]


@cache
def discriminator(network: Network, elements: tuple[str, ...]) -> Any:
    """The same of the network with the head of a discriminator."""
    return functional(network.build(nnx.Rngs(0), elements, "discriminator"))[0]


def denoiser_of(network: Network, elements: tuple[str, ...], params: Any, conditions: int = 0) -> GraphDenoiser:
    """A trained model."""
    return GraphDenoiser(params, generator(network, elements, conditions), len(elements))


def log_odds_of(network: Network, elements: tuple[str, ...], params: Any) -> GraphLogOdds:
    """A trained discriminator or classifier."""
    return GraphLogOdds(params, discriminator(network, elements), len(elements))


def generator_phase(
    network: Network,
    elements: tuple[str, ...],
    loss: Callable[[Array, GraphDenoiser, Array, Any], Array],
    optimizer: Optimizer,
    steps: int,
    draw: Callable[[Any, Array], Batch],
    data: Any = None,
    every: tuple = (),
    conditions: int = 0,
) -> Phase:
    """Train the model by loss(key, model, x, cond); `draw(batch, key)` gives the graphs of a step."""
    apply, rule = generator(network, elements, conditions), optimizer.build(steps)

    def objective(params: Any, aux: None, batch: Any, key: Array) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        x, cond = draw(batch, k_draw)
        return loss(k_loss, GraphDenoiser(params, apply, len(elements), k_drop), x, cond), (aux, {})

    def init(key: Array) -> TrainState:
        module = network.build(nnx.Rngs(key), elements, conditions=conditions)
        return TrainState.create(functional(module)[1], rule, ema=False)

    return Phase("generator", init, make_step(objective, rule), data, steps, every=every)


def bound(key: Array, model: GraphDenoiser, x: Array, cond: Any, orders: Orders) -> Array:
    """Mean bound on -log p(x), nats a graph."""
    legal = allowed(atoms(x.shape[1]), model.elements)
    return order_agnostic_loss(key, model, x, cond, classes(model.elements), shown(cond), legal, orders)


def discriminator_phase(
    network: Network,
    elements: tuple[str, ...],
    loss: Callable[[Array, GraphLogOdds, Any], Array],
    optimizer: Optimizer,
    steps: int,
    draw: Callable[[Any, Array], Any],
    start: Any,
    data: Any = None,
    every: tuple = (),
    name: str = "discriminator",
) -> Phase:
    """Train a discriminator or classifier by loss(key, log_odds, draw(batch, key)), from the generator's parameters."""
    apply, rule = discriminator(network, elements), optimizer.build(steps)

    def objective(params: Any, aux: None, batch: Any, key: Array) -> Any:
        k_draw, k_loss, k_drop = jax.random.split(key, 3)
        return loss(k_loss, GraphLogOdds(params, apply, len(elements), k_drop), draw(batch, k_draw)), (aux, {})

    def init(key: Array) -> TrainState:
        fresh = functional(network.build(nnx.Rngs(key), elements, "discriminator"))[1]
        return TrainState.create(transfer(start, fresh), rule, ema=False)

    return Phase(name, init, make_step(objective, rule), data, steps, every=every)


def discriminate(key: Array, log_odds: Any, batch: tuple[Array, Array, Any], orders: Orders) -> Array:
    """Mean cross-entropy of real and generated graphs (B, D) at partial states."""
    real, fake, cond = batch
    return discriminator_loss(key, log_odds, real, fake, classes(log_odds.elements), cond, shown(cond), orders)


def shown(cond: Any) -> Array | None:
    """Which sites are real, of a condition."""
    return None if cond is None else real_sites(cond["mask"])


def in_parts(f: Callable[[Array], Array], x: Array, size: int) -> Array:
    """f over the rows of x, so many at a time; one compiled program."""
    count = -(-len(x) // size)
    padded = jnp.concatenate([x, jnp.broadcast_to(x[:1], (count * size - len(x), *x.shape[1:]))])
    parts = jax.lax.map(f, padded.reshape(count, size, *x.shape[1:]))
    return parts.reshape(-1, *parts.shape[2:])[: len(x)]
