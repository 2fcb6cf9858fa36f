"""Message passing on static graphs. Node arrays are (nodes, n, c), edge arrays (edges, n or 1, c): nodes first.

With the nodes first a gather copies, and a segment sum adds, contiguous rows that hold the whole batch. Edges are
sorted by receiver, so that sums over the edges of a node are sorted segment sums; the gradient of the gather at the
senders is one too, by a permutation that is computed once.

Devices that a batch leaves over share edges and nodes (`genkit.parallel.split_rows`): each has all nodes while it takes
those at the ends of its edges, and the sums of all are added.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.custom_derivatives import SymbolicZero

from genkit.errors import UsageError
from genkit.nn import Arithmetic
from genkit.parallel import rows_are_split, split_rows, whole_rows
from genkit.tree import register_dataclass

Aggregation = Literal["sum", "mean"]
PLAIN = Arithmetic()


@register_dataclass
@dataclass(frozen=True)
class Edges:
    """Directed edges between two sets of nodes, which may be the same; make them by `Edges.build`."""

    senders: Any
    """(E,) int32"""
    receivers: Any
    """(E,) int32, ascending"""
    features: Any
    """(E, F) float32"""
    by_sender: Any
    """(E,) int32, the order of the edges by sender"""
    degree: Any
    """(receivers,) float32, edges that a node receives, at least 1"""
    sizes: tuple[int, int] = field(metadata={"static": True})
    """nodes of the sending and of the receiving set, those without edges included"""

    @classmethod
    def build(cls, senders, receivers, features, sizes: tuple[int, int]) -> "Edges":
        """Sort edges, given in any order, by receiver and then by sender; numpy in and out.

        Raises `UsageError` for a node that does not exist.
        """
        ends = [np.asarray(a).reshape(-1) for a in (senders, receivers)]
        for name, nodes, size in zip(("sender", "receiver"), ends, sizes, strict=True):
            if nodes.size and not 0 <= nodes.min() <= nodes.max() < size:
                raise UsageError(f"an edge has {name} {nodes.min()} or {nodes.max()}; expected nodes 0..{size - 1}")
        order = np.lexsort(ends)
        sender, receiver = (a[order].astype(np.int32) for a in ends)
        sizes = (int(sizes[0]), int(sizes[1]))
        degree = np.maximum(np.bincount(receiver, minlength=sizes[1]), 1).astype(np.float32)
        features = np.asarray(features, np.float32)[order]
        return cls(sender, receiver, features, np.argsort(sender, kind="stable").astype(np.int32), degree, sizes)

    def __len__(self) -> int:
        """Number of edges."""
        return len(self.senders)


@jax.custom_vjp
def at_senders(h, edges: Edges):
    """Rows of `h` (senders, ...) at the sender of each edge: (E, ...)."""
    return split_rows(whole_rows(h, 0).at[edges.senders].get(mode="promise_in_bounds"), 0)


def _at_senders(h, edges):
    return at_senders(h, edges), edges


def _to_senders(edges, gradient):
    if rows_are_split():  # another order would send all edges around
        return _segment_sum(gradient, edges.senders, edges.sizes[0], ordered=False), None
    order = edges.by_sender
    ordered = gradient.at[order].get(mode="promise_in_bounds", unique_indices=True)
    return _segment_sum(ordered, edges.senders[order], edges.sizes[0]), None


at_senders.defvjp(_at_senders, _to_senders)


def at_receivers(h, edges: Edges):
    """Rows of `h` (receivers, ...) at the receiver of each edge: (E, ...); its gradient is a sorted segment sum."""
    gathered = whole_rows(h, 0).at[edges.receivers].get(mode="promise_in_bounds", indices_are_sorted=True)
    return split_rows(gathered, 0)


def aggregate(messages, edges: Edges):
    """Sums over the edges of each receiver, (E, ...) -> (receivers, ...), in float32; 0 without edges."""
    return _segment_sum(messages, edges.receivers, edges.sizes[1])


def averaged(sums, edges: Edges):
    """Means over the edges of each receiver, from their sums (receivers, ...)."""
    return sums / edges.degree.reshape(-1, *(1,) * (sums.ndim - 1)).astype(sums.dtype)


def _segment_sum(x, segments, count: int, ordered: bool = True):
    total = jax.ops.segment_sum(
        x.astype(jnp.float32), segments, count, indices_are_sorted=ordered, mode="promise_in_bounds"
    )
    return split_rows(total.astype(x.dtype), 0)


def _row_mean(x):
    """Mean over the last axis, kept. Next to other work a processor takes it faster as a product with a vector."""

    def product(x):
        return jnp.matmul(x, jnp.full((x.shape[-1], 1), 1 / x.shape[-1], x.dtype), precision="highest")

    return jax.lax.platform_dependent(x, cpu=product, default=lambda x: x.mean(-1, keepdims=True))


@jax.custom_vjp
def normalise(x, epsilon: float):
    """Rows (..., c) with mean 0 and variance 1; the gradient in closed form, which XLA does not find on its own."""
    return _normalise(x, epsilon)[0]


def _normalise(x, epsilon):
    centred = x - _row_mean(x)
    scale = jax.lax.rsqrt(_row_mean(jnp.square(centred)) + epsilon)
    y = centred * scale
    return y, (y, scale)


def _normalise_gradient(kept, g):
    y, scale = kept
    return scale * (g - _row_mean(g) - y * _row_mean(g * y)), None


normalise.defvjp(_normalise, _normalise_gradient)


def _uniform(key, shape, dtype, fan_in: int):
    bound = 1 / fan_in**0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Perceptron(nnx.Module):
    """Linear, then `hidden_layers` times SiLU and Linear, then a layer norm with scale and shift unless `norm=False`.

    Weights and biases start uniform within 1/sqrt(fan-in), as in most graph networks. The norm is in float32, whatever
    the arithmetic.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int | None = None,
        *,
        hidden_layers: int = 1,
        norm: bool = True,
        arithmetic: Arithmetic = PLAIN,
        rngs: nnx.Rngs,
    ):
        self.dtype = arithmetic.numbers
        widths = [inputs, *[width] * hidden_layers, width if outputs is None else outputs]

        def linear(a: int, b: int) -> nnx.Linear:
            def draw(key, shape, dtype=jnp.float32, out_sharding=None):
                return _uniform(key, shape, dtype, a)

            return nnx.Linear(a, b, kernel_init=draw, bias_init=draw, dtype=self.dtype, rngs=rngs)

        self.layers = nnx.List([linear(a, b) for a, b in zip(widths, widths[1:], strict=False)])
        self.norm = nnx.LayerNorm(widths[-1], epsilon=1e-5, dtype=jnp.float32, rngs=rngs) if norm else None

    def __call__(self, x):
        """(..., inputs) -> (..., outputs)."""
        return self.after_first(self.layers[0](x))

    def bias(self, dtype):
        """The bias of the first layer."""
        return self.layers[0].bias[...].astype(dtype)  # type: ignore[index]

    def part(self, x, first: int):
        """What the inputs `first`, `first` + 1, ... alone give to the first layer, without its bias.

        A first layer of concatenated inputs is the sum of its parts, and the part of a node is computed once for
        the node and not for each of its edges.
        """
        kernel = self.layers[0].kernel[first : first + x.shape[-1]].astype(self.dtype)
        return x.astype(self.dtype) @ kernel

    def after_first(self, h):
        """The rest, given the output of the first layer, bias included."""
        for layer in self.layers[1:]:
            h = layer(jax.nn.silu(h))
        if self.norm is None:
            return h
        scale, shift = self.norm.scale[...], self.norm.bias[...]  # type: ignore[index]
        return (normalise(h.astype(jnp.float32), 1e-5) * scale + shift).astype(self.dtype)


BLOCK = 2**19  # bytes of an array of one block: the few of them that its gradient needs stay in the cache of a core


def exchange(
    mlp: Perceptron, edges: Edges, projected: Any, senders: Any, receivers: Any, passed: Any = None
) -> tuple[Any, Any]:
    """Sums of messages at their receivers (receivers, n, H), and the messages (E, n, H).

    A message is the perceptron of what edges (E, n or 1, H), senders and receivers give to its first layer, plus what
    the sender passes as it is, if anything. On one CPU the gradient is made in blocks of edges, from these parts alone:
    temporary arrays of all edges would go to memory and back one after the other, those of a block stay in the cache.
    """
    graph, params = nnx.split(mlp)
    parts = params, edges, projected, senders, receivers, passed
    blocks = len(edges) * senders[0].size * senders.dtype.itemsize // BLOCK
    alike = len({(h.shape[1:], h.dtype) for h in (senders, receivers, passed) if h is not None}) == 1
    alike = alike and projected.shape[1] in (1, senders.shape[1])
    alone = jax.default_backend() == "cpu" and jax.sharding.get_abstract_mesh().size <= 1
    if blocks < 2 or not (alike and alone):
        return _exchange(graph, *parts)
    return _in_blocks(graph, -(-len(edges) // blocks), *parts)


def _exchange(graph, params, edges, projected, senders, receivers, passed):
    first = projected + at_senders(senders, edges) + at_receivers(receivers, edges)
    messages = nnx.merge(graph, params).after_first(first)
    messages = messages if passed is None else at_senders(passed, edges) + messages
    return aggregate(messages, edges), messages


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _in_blocks(graph, rows, *parts):
    return _exchange(graph, *parts)


def _forward(graph, rows, *parts):
    parts = jax.tree.map(lambda one: one.value, parts)
    return _exchange(graph, *parts), parts


def _backward(graph, rows, parts, gradients):
    params, edges, projected, senders, receivers, passed = parts
    of_sums, of_messages = (None if isinstance(g, SymbolicZero) else g for g in gradients)
    count = len(edges)

    def block(totals, number):
        # The last block takes rows of the one before, to be as long: it comes first, and these count as zero.
        start = jnp.minimum(number * rows, count - rows)
        cut = partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=rows)
        j, i = cut(edges.senders), cut(edges.receivers)
        told = ([] if of_sums is None else [of_sums[i]]) + ([] if of_messages is None else [cut(of_messages)])
        g = jnp.where((start + jnp.arange(rows) >= number * rows)[:, None, None], sum(told), 0)
        first = cut(projected) + senders[j] + receivers[i]
        of_params, h = jax.vjp(lambda p, h: nnx.merge(graph, p).after_first(h), params, first)[1](g)
        of_edges = h if projected.shape[1] == h.shape[1] else h.sum(1, keepdims=True)
        at_params, at_edges, at_senders, at_receivers, at_passed = totals

        def add(total, nodes, h):
            return None if total is None else total.at[nodes].add(h.astype(total.dtype), mode="promise_in_bounds")

        return (
            jax.tree.map(jnp.add, at_params, of_params),
            jax.lax.dynamic_update_slice_in_dim(at_edges, of_edges, start, 0),
            add(at_senders, j, h),
            add(at_receivers, i, h),
            add(at_passed, j, g),
        ), None

    sums = jax.tree.map(lambda h: jnp.zeros(h.shape, jnp.float32), (senders, receivers, passed))
    totals = *jax.tree.map(jnp.zeros_like, (params, projected)), *sums
    (of_params, of_edges, *nodes), _ = jax.lax.scan(block, totals, jnp.arange(-(-count // rows)), reverse=True)
    return of_params, None, of_edges, *jax.tree.map(lambda h: h.astype(senders.dtype), nodes)


_in_blocks.defvjp(_forward, _backward, symbolic_zeros=True)


class InteractionNet(nnx.Module):
    """One round of messages: m = MLP_e[e, h_j, h_i], h_i' = h_i + MLP_a[h_i, sum of m], e' = e + m.

    Battaglia et al. 2016 (arXiv 1612.00222). With `propagate` it is a propagation network (Oskarsson et al. 2024, arXiv
    2406.04759): m = h_j + MLP_e[...], h_i' = a_i + MLP_a[h_i, a_i] with the *mean* a_i of the messages, so that
    information passes by default and a receiver's own state only steers it.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden_layers: int = 1,
        propagate: bool = False,
        aggregation: Aggregation = "sum",
        arithmetic: Arithmetic = PLAIN,
        rngs: nnx.Rngs,
    ):
        options: dict[str, Any] = {"hidden_layers": hidden_layers, "arithmetic": arithmetic, "rngs": rngs}
        self.edge_mlp = Perceptron(3 * width, width, **options)
        self.aggr_mlp = Perceptron(2 * width, width, **options)
        self.width, self.propagate, self.arithmetic = width, propagate, arithmetic
        self.aggregation: Aggregation = "mean" if propagate else aggregation

    def project(self, e):
        """The part of edge states in the first layer of MLP_e, bias included: what is worth keeping of static ones."""
        return self.edge_mlp.part(e, 0) + self.edge_mlp.bias(e.dtype)

    def __call__(self, edges: Edges, e, senders, receivers):
        """Edge states (E, n or 1, H) and node states -> (receivers' new states, new edge states)."""

        def update(edges, e, senders, receivers):
            new, messages = self._exchange(edges, self.project(e), senders, receivers)
            return new, e + messages

        return self.arithmetic.through(update, edges, e, senders, receivers)

    def receive(self, edges: Edges, projected, senders, receivers):
        """The receivers' new states alone, given `project(e)`."""
        return self.arithmetic.through(lambda *args: self._exchange(*args)[0], edges, projected, senders, receivers)

    def _exchange(self, edges, projected, senders, receivers):
        parts = self.edge_mlp.part(senders, self.width), self.edge_mlp.part(receivers, 2 * self.width)
        a, messages = exchange(self.edge_mlp, edges, projected, *parts, senders if self.propagate else None)
        a = averaged(a, edges) if self.aggregation == "mean" else a
        return (a if self.propagate else receivers) + _node_mlp(self.aggr_mlp, receivers, a), messages


class ParallelInteractionNet(nnx.Module):
    """One round of messages over several sets of edges between several sets of nodes at once.

    Every set of edges has its own MLP_e and every set of nodes its own MLP_a; a node adds up the messages of all
    edges that it receives, whatever their set.
    """

    def __init__(
        self,
        width: int,
        links: tuple[tuple[int, int], ...],
        sets: int,
        *,
        hidden_layers: int = 1,
        arithmetic: Arithmetic = PLAIN,
        rngs: nnx.Rngs,
    ):
        options: dict[str, Any] = {"hidden_layers": hidden_layers, "arithmetic": arithmetic, "rngs": rngs}
        self.edge_mlp = nnx.List([Perceptron(3 * width, width, **options) for _ in links])
        self.aggr_mlp = nnx.List([Perceptron(2 * width, width, **options) for _ in range(sets)])
        self.width, self.links, self.arithmetic = width, links, arithmetic

    def __call__(self, edges: tuple[Edges, ...], e: list, nodes: list):
        """Edge states of each set and node states of each set -> the new (node states, edge states)."""
        return self.arithmetic.through(self._round, edges, e, nodes)

    def _round(self, edges, e, nodes):
        totals: list[Any] = [jnp.zeros_like(h) for h in nodes]
        updated = []
        for (sender, receiver), mlp, these, state in zip(self.links, self.edge_mlp, edges, e, strict=True):
            parts = mlp.part(nodes[sender], self.width), mlp.part(nodes[receiver], 2 * self.width)
            sums, messages = exchange(mlp, these, mlp.part(state, 0) + mlp.bias(state.dtype), *parts)
            totals[receiver] = totals[receiver] + sums
            updated.append(state + messages)
        nodes = [h + _node_mlp(mlp, h, a) for mlp, h, a in zip(self.aggr_mlp, nodes, totals, strict=True)]
        return nodes, updated


def _node_mlp(mlp: Perceptron, h, a):
    first = mlp.part(h, 0) + mlp.part(a, h.shape[-1]) + mlp.bias(a.dtype)
    return mlp.after_first(first)
