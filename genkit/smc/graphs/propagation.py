"""Loopy belief propagation on factor graphs: messages, and the Bethe approximation of log Z."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass

if TYPE_CHECKING:
    from genkit.smc.graphs.factors import FactorGraph

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Messages:
    """Log-messages from factors to their variables, each normalised."""

    to: tuple[Array, ...]
    """For each group of factors (F, a, K)"""
    change: Array
    """() how far the last step would have moved a log-message undamped, at most; a fraction of those beyond 1"""
    converged: Array
    """() bool, whether it fell below the tolerance"""
    log_z: Array
    """() log Z by Bethe's approximation: exact on trees, else of either sign (Yedidia, Freeman, Weiss 2005)"""


def belief_propagation(
    graph: FactorGraph, damping: Any = 0.5, tolerance: Any = 1e-8, max_steps: int = 1000, begin: Any = None
) -> Messages:
    """Sum-product messages: exact on trees, an approximation where the graph has loops.

    Args:
        graph: the graph.
        damping: what a step keeps of the old log-messages, in [0, 1).
        tolerance: of the change in one step, before damping.
        max_steps: limit on the steps.
        begin: (V, K) added to `unary` in the first step alone. Messages of a graph with a symmetry keep it for ever
            where they begin with it, though solutions without it may be better.
    """
    if isinstance(damping, (int, float, np.number)) and not 0 <= damping < 1:
        raise UsageError(f"damping={damping} must lie in [0, 1), the share of the old messages that is kept")
    return _propagate(graph, damping, tolerance, max_steps, begin)


@jax.jit
def _propagate(graph: FactorGraph, damping: Any, tolerance: Any, max_steps: Any, begin: Any) -> Messages:
    unary = jnp.asarray(graph.unary, float)
    tables = [jnp.asarray(group.table, unary.dtype) for group in graph.factors]
    least = jnp.maximum(tolerance, 20 * jnp.finfo(unary.dtype).eps)

    def update(to: tuple[Array, ...], unary: Array) -> tuple[Array, ...]:
        sent = _sent(graph, unary, to)
        return tuple(_normalised(_marginals(table, heard)) for table, heard in zip(tables, sent, strict=True))

    def one(carry: tuple[tuple[Array, ...], Array, Array]) -> tuple[tuple[Array, ...], Array, Array]:
        old, _, t = carry
        pairs = list(zip(old, update(old, unary), strict=True))
        new = tuple(_normalised(_mixed(m, m1, damping)) for m, m1 in pairs)
        changes = [_change(m, m1).max(initial=0.0) for m, m1 in pairs]
        return new, jnp.stack([*changes, jnp.zeros((), unary.dtype)]).max(), t + 1

    v, k = unary.shape
    to = tuple(jnp.full((len(g.scope), g.table.ndim - 1, k), -jnp.log(k), unary.dtype) for g in graph.factors)
    if begin is not None:
        to = update(to, unary + begin)
    first = to, jnp.full((), jnp.inf, unary.dtype), jnp.zeros((), int)
    to, change, _ = jax.lax.while_loop(lambda c: (c[1] > least) & (c[2] < max_steps), one, first)
    return Messages(to, change, change <= least, _bethe(graph, unary, tables, to))


def to_factors(graph: FactorGraph, messages: Messages) -> tuple[Array, ...]:
    """Log-messages from variables to factors, not normalised, for each group (F, a, K)."""
    return _sent(graph, jnp.asarray(graph.unary, float), messages.to)


def _beliefs(graph: FactorGraph, unary: Array, to: tuple[Array, ...]) -> Array:
    """Product of all messages to a variable with its potential, (V, K)."""
    v, k = unary.shape
    for group, m in zip(graph.factors, to, strict=True):
        unary = unary + jax.ops.segment_sum(m.reshape(-1, k), group.places.ravel(), v)
    return unary


def _sent(graph: FactorGraph, unary: Array, to: tuple[Array, ...]) -> tuple[Array, ...]:
    """To a factor, without the message that came from it."""
    shut = [m == -jnp.inf for m in to]  # counted apart, since -inf cannot be taken from a sum
    open_ = [jnp.where(no, 0.0, m) for m, no in zip(to, shut, strict=True)]
    total = _beliefs(graph, jnp.where(unary == -jnp.inf, 0.0, unary), tuple(open_))
    count = _beliefs(graph, (unary == -jnp.inf).astype(int), tuple(no.astype(int) for no in shut))
    return tuple(
        jnp.where(count[group.places] > no, -jnp.inf, total[group.places] - m)
        for group, m, no in zip(graph.factors, open_, shut, strict=True)
    )


def _along(m: Array, axis: int, a: int) -> Array:
    """(F, K) as values along one of a axes."""
    return m.reshape(m.shape[0], *(m.shape[1] if i == axis else 1 for i in range(a)))


def _marginals(table: Array, heard: Array) -> Array:
    """To each variable of a factor, what it says of it given the messages from the others, (F, a, K)."""
    a = table.ndim - 1
    found = []
    for i in range(a):
        others = [j for j in range(a) if j != i]
        joint = table + sum(_along(heard[:, j], j, a) for j in others)
        found.append(jax.nn.logsumexp(joint, axis=tuple(j + 1 for j in others)))
    return jnp.stack(found, 1)


def _bethe(graph: FactorGraph, unary: Array, tables: list[Array], to: tuple[Array, ...]) -> Array:
    """Sum over factors of log Z_f, plus over variables of (1 - degree) log Z_v."""
    each = jax.nn.logsumexp(_beliefs(graph, unary, to), axis=1)
    degree = np.zeros(len(each))
    total = jnp.zeros((), each.dtype)
    for group, table, heard in zip(graph.factors, tables, _sent(graph, unary, to), strict=True):
        np.add.at(degree, group.places.ravel(), 1)
        a = table.ndim - 1
        joint = table + sum(_along(heard[:, j], j, a) for j in range(a))
        total += jax.nn.logsumexp(joint, axis=tuple(range(1, a + 1))).sum()
    excluded = (each == -jnp.inf).any()
    return jnp.where(excluded, -jnp.inf, total + (jnp.where(excluded, 0.0, each) * (1 - degree)).sum())


def _normalised(m: Array) -> Array:
    """Sum 1; the same for all values where all are excluded."""
    m = jnp.where(m.max(-1, keepdims=True) == -jnp.inf, 0.0, m)
    return m - jax.nn.logsumexp(m, axis=-1, keepdims=True)


def _mixed(old: Array, new: Array, damping: Any) -> Array:
    """What the new ones exclude is excluded, whatever the damping."""
    either = (old == -jnp.inf) | (new == -jnp.inf)
    return jnp.where(either, new, damping * jnp.where(either, 0.0, old) + (1 - damping) * new)


def _change(old: Array, new: Array) -> Array:
    """Of log-messages, relative to those beyond 1; infinite where one more value is excluded."""
    still = old == new  # so are those of -inf
    return jnp.where(still, 0.0, jnp.abs(new - old) / jnp.maximum(1.0, jnp.abs(old)))
