"""Orders in which the sites of a graph are revealed: section 4 of Kelvinius and Lindsten 2024 (arXiv 2310.15817)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import ANY_ORDER, LEARNED_ORDER, Orders
from genkit.errors import UsageError
from genkit_molecules.chemistry import atoms, pairs

Array = jax.Array
Order = Literal["uniform", "nodes_edges", "node_edges_node"]
GraphOrder = Literal[Order, "learned"]


@dataclass(frozen=True)
class NodesEdges:
    """All atoms in a random order, then all pairs in a random order."""

    def draw(self, key: Array, real: Array) -> Array:
        """A permutation (D,) of the sites."""
        n = atoms(real.shape[0])
        last = jnp.where(jnp.arange(real.shape[0]) < n, 0, 1) + 2 * ~real
        return jnp.argsort(last + jax.random.uniform(key, real.shape)).astype(jnp.int32)

    def labels(self, real: Array) -> Array:
        """Atoms 0, pairs 1."""
        d = real.shape[0]
        return (jnp.arange(d) >= real[: atoms(d)].sum()).astype(jnp.int32)


@dataclass(frozen=True)
class NodeEdgesNode:
    """An atom, its pairs with the atoms before it in a random order, the next atom."""

    def draw(self, key: Array, real: Array) -> Array:
        """A permutation (D,) of the sites."""
        n = atoms(real.shape[0])
        k_atom, k_pair = jax.random.split(key)
        rank = jnp.argsort(jnp.argsort(jax.random.uniform(k_atom, (n,)) + 2 * ~real[:n]))
        later = jnp.maximum(*rank[pairs(n).T])
        within = 0.1 + 0.8 * jax.random.uniform(k_pair, (len(pairs(n)),))
        place = jnp.concatenate([rank.astype(float), later + within])
        return jnp.argsort(place).astype(jnp.int32)

    def labels(self, real: Array) -> Array:
        """Atoms 0, pairs the number of their later atom."""
        return jnp.asarray(np.concatenate([[0] + [k] * k for k in range(atoms(real.shape[0]))]), jnp.int32)


ORDERS: dict[GraphOrder, Orders] = {
    "uniform": ANY_ORDER,
    "nodes_edges": NodesEdges(),
    "node_edges_node": NodeEdgesNode(),
    "learned": LEARNED_ORDER,
}


def order_named(name: GraphOrder) -> Orders:
    """The law of the order of this name."""
    if name not in ORDERS:
        raise UsageError(f"order={name!r}; expected {', '.join(ORDERS)}")
    return ORDERS[name]


def name_of(orders: Orders) -> GraphOrder:
    """The name of a law of the order."""
    return next(name for name, known in ORDERS.items() if known == orders)
