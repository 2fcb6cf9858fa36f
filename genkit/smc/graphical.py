"""Graphs of discrete variables by twisted SMC: one variable after the other, with a look ahead by belief propagation.

Lindsten, Helske, Vihola, Graphical model inference: Sequential Monte Carlo meets deterministic approximations (2018).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
FLOOR = 50.0  # log-messages end this far below their largest, so that what a message excludes can still be weighed


@register_dataclass
@dataclass(frozen=True)
class PairwiseGraph:
    """p(x) = exp(sum_v unary_v(x_v) + sum_e pair_e(x_i, x_j)) / Z of V variables with K values each."""

    unary: Any
    """(V, K)"""
    pair: Any
    """(E, K, K), the first value that of variable i of the edge; -inf excludes a pair"""
    edges: tuple[tuple[int, int], ...] = field(metadata={"static": True})
    """E pairs (i, j); a pair may come twice."""

    def __post_init__(self) -> None:
        """Check the shapes, and the edges."""
        if not isinstance(self.unary, (np.ndarray, jax.Array)):
            return  # a structure without arrays
        v, k = self.unary.shape
        if self.pair.shape != (len(self.edges), k, k):
            raise UsageError(f"pair has shape {self.pair.shape}; expected ({len(self.edges)}, {k}, {k}), one per edge")
        bad = [e for e in self.edges if e[0] == e[1] or not (0 <= min(e) and max(e) < v)]
        if bad:
            raise UsageError(f"edge {bad[0]} is no pair of two variables of 0..{v - 1}")

    def log_prob(self, x: Array) -> Array:
        """Unnormalised, (n,) for values x (n, V)."""
        i, j = _ends(self)
        single = jnp.take_along_axis(self.unary[None], x[..., None], 2)[..., 0].sum(1)
        return single + self.pair[jnp.arange(len(i)), x[:, i], x[:, j]].sum(1)


@register_dataclass
@dataclass(frozen=True)
class Messages:
    """Log-messages along the edges, each normalised."""

    forward: Array
    """(E, K) from i to j, of the values of j"""
    backward: Array
    """(E, K) from j to i"""
    change: Array
    """() the largest difference of two messages in the last step; not small where propagation did not converge"""


def belief_propagation(
    graph: PairwiseGraph, damping: Any = 0.5, tolerance: Any = 1e-8, max_steps: int = 1000, begin: Any = None
) -> Messages:
    """Sum-product messages: exact on trees, an approximation where the graph has loops.

    Args:
        graph: the graph.
        damping: what a step keeps of the old log-messages, in [0, 1).
        tolerance: of the change in one step.
        max_steps: limit on the steps.
        begin: (V, K) added to `unary` in the first step alone. Messages of a graph with a symmetry keep it for ever
            where they begin with it, though solutions without it may be better.
    """
    unary, pair = jnp.asarray(graph.unary, float), jnp.asarray(graph.pair, float)
    (v, k), (i, j) = unary.shape, _ends(graph)
    source, to = np.concatenate([i, j]), np.concatenate([j, i])
    both = jnp.concatenate([pair, pair.transpose(0, 2, 1)])  # of the values at the source, at the target
    least = jnp.maximum(tolerance, 20 * jnp.finfo(unary.dtype).eps)

    def update(m: Array, unary: Array) -> Array:
        total = unary + jax.ops.segment_sum(m, to, v)
        cavity = total[source] - jnp.roll(m, len(i), 0)  # without the message that comes back
        return _normalised(jax.nn.logsumexp(cavity[:, :, None] + both, axis=1))

    def one(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        m, _, t = carry
        new = _normalised(damping * m + (1 - damping) * update(m, unary))
        return new, jnp.abs(new - m).max(initial=0.0), t + 1

    m = jnp.full((2 * len(i), k), -jnp.log(k), unary.dtype)
    if begin is not None:
        m = update(m, unary + begin)
    first = m, jnp.full((), jnp.inf, unary.dtype), jnp.zeros((), int)
    m, change, _ = jax.lax.while_loop(lambda c: (c[1] > least) & (c[2] < max_steps), one, first)
    return Messages(m[: len(i)], m[len(i) :], change)


@register_dataclass
@dataclass(frozen=True)
class Assignment:
    """Values x (n, V), and the log-weights (n, K) of those that the next variable may take."""

    x: Array
    table: Array


@register_dataclass
@dataclass(frozen=True)
class Neighbours:
    """What one variable meets, leaves (V, ...) in a stage; D is the largest number of neighbours before one."""

    site: Any
    """() the variable"""
    own: Any
    """(K,) its potential, times the messages to it from variables that come later"""
    before: Any
    """(D,) its neighbours before it"""
    pair: Any
    """(D, K, K) potentials with these, over the messages from it to them; 1 beyond the last"""


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """No variable has a value yet; weight 1."""

    values: int = field(metadata={"static": True})
    sites: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Assignment, None]:
        """Particles, no potential."""
        n = keys.shape[0]
        return Assignment(jnp.zeros((n, self.sites), jnp.int32), jnp.zeros((n, self.values), float)), None


@register_dataclass
@dataclass(frozen=True)
class Site(Kernel):
    """Value of one more variable, drawn in proportion to the twisted target; inputs are its `Neighbours`.

    The weight is the sum over its values, so it is known before the draw.
    """

    def look(self, keys: Array, p: Assignment, u: Neighbours) -> tuple[Assignment, Array]:
        """Enumerate the values."""
        at = jnp.arange(u.pair.shape[0])
        table = u.own + u.pair[at, p.x[:, u.before]].sum(1)
        return Assignment(p.x, table.astype(p.table.dtype)), jax.nn.logsumexp(table, axis=1)

    def move(self, keys: Array, p: Assignment, u: Neighbours) -> Assignment:
        """Draw one."""
        drawn = jax.vmap(jax.random.categorical)(keys, p.table)
        return Assignment(p.x.at[:, u.site].set(drawn.astype(p.x.dtype)), p.table)


def graph_model(graph: PairwiseGraph, messages: Messages | None = None) -> Model:
    """Feynman-Kac model whose particles end as assignments of all variables, in their order; log_z is that of p.

    The target after t variables has the factors among them, times the messages that they get from the others. On a
    tree, in an order in which what is left hangs on one variable at a time (from a root to the leaves), the estimate
    of Z is exact for any number of particles. None is plain SMC. Both are fully adapted: values are enumerated.
    """
    unary, pair = jnp.asarray(graph.unary, float), jnp.asarray(graph.pair, float)
    (v, k), (i, j) = unary.shape, _ends(graph)
    back, forth = (jnp.zeros((len(i), k)),) * 2 if messages is None else (messages.backward, messages.forward)
    # edges by their earlier end (first) and later end (last)
    turned = (i > j)[:, None]
    first, last = np.minimum(i, j), np.maximum(i, j)
    pair = jnp.where(turned[:, None], pair.transpose(0, 2, 1), pair)
    ahead = jnp.where(turned, forth, back)  # message from the later variable to the earlier one
    own = unary + jax.ops.segment_sum(ahead, first, v)
    ratio = pair - ahead[:, :, None]

    each = [np.flatnonzero(last == site) for site in range(v)]
    most = max(1, *(len(e) for e in each))
    none = len(i)  # of a row of ones
    padded = np.array([np.pad(e, (0, most - len(e)), constant_values=none) for e in each])
    inputs = Neighbours(
        np.arange(v),
        own,
        np.append(first, 0)[padded],
        jnp.concatenate([ratio, jnp.zeros((1, k, k), ratio.dtype)])[padded],
    )
    return Model(Begin(k, v), ((Site(), inputs),))


def _ends(graph: PairwiseGraph) -> np.ndarray:
    return np.array(graph.edges, int).reshape(-1, 2).T


def _normalised(m: Array) -> Array:
    m = jnp.maximum(m, m.max(-1, keepdims=True) - FLOOR)
    return m - jax.nn.logsumexp(m, axis=-1, keepdims=True)
