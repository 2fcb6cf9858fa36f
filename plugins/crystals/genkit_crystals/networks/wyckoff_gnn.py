"""WyckoffGNN: attention by perceptrons on the complete graph of a crystal's Wyckoff positions."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import MLP
from genkit_crystals.layout import Layout
from genkit_crystals.wyckoff import ELEMENTS, GROUPS, LETTERS

Array = Any
MULTIPLICITIES = 193  # 0..192
GAIN = 1.68  # E[SiLU(x)^2] ** -0.5 for x ~ N(0, 1)
unit = nnx.initializers.normal(1.0)


def mlp(inputs: int, outputs: int, hidden: int, rngs: nnx.Rngs) -> MLP:
    """Three hidden layers with SiLU; they begin so that features keep their size from layer to layer."""
    made = MLP((inputs, hidden, hidden, hidden, outputs), rngs=rngs)
    for layer in made.layers:
        layer.kernel[...] *= GAIN
    return made


class Layer(nnx.Module):
    """h_i <- SiLU(h_i + sum_j a_ij psi(z_j)), a_ij = softmax_j MLP([z_i; z_j]), z = [h; c].

    j runs over all real rows, i among them. psi is computed once a row, and the first linear map of the scores acts
    on receivers and senders apart, which are then added: the numbers of the published form at half the work.
    """

    def __init__(self, width: int, context: int, rngs: nnx.Rngs):
        size = width + context
        self.scores = mlp(2 * size, 1, 2 * size, rngs)
        self.values = mlp(size, width, 2 * size, rngs)

    def __call__(self, h: Array, c: Array, real: Array) -> Array:
        """`h` (n, R, H), `c` (n, R, D), `real` (n, R) bool."""
        z = jnp.concatenate([h, c], -1)
        first, *rest = self.scores.layers
        bias: Any = first.bias
        receiver, sender = jnp.split(first.kernel[...], 2)
        edges = (z @ receiver + bias[...])[:, :, None] + (z @ sender)[:, None]
        for layer in rest:
            edges = layer(jax.nn.silu(edges))
        scores = jnp.where(real[:, None], edges[..., 0], -jnp.inf)
        attention = jax.nn.softmax(scores, -1)
        return jax.nn.silu(h + jnp.einsum("nij,njh->nih", attention, self.values(z)))


class Pointer(nnx.Module):
    """Features of an element on a row, by where else in the crystal it is.

    `out` maps them to logits of x0 and of x1. All elements share one map.

    s_iem = sum_j sigmoid(q_im . k_jm) [e is on j] over the real rows j and heads m, then a perceptron of s_ie and z_i.
    """

    def __init__(self, inputs: int, heads: int, outputs: tuple[int, int], rngs: nnx.Rngs):
        self.heads, hidden = heads, 8
        self.query = nnx.Linear(inputs, 8 * heads, rngs=rngs)
        self.key = nnx.Linear(inputs, 8 * heads, rngs=rngs)
        self.row = nnx.Linear(inputs, hidden, rngs=rngs)
        self.elsewhere = nnx.Linear(heads, hidden, use_bias=False, rngs=rngs)
        self.out = nnx.List([nnx.Linear(hidden, size, rngs=rngs) for size in outputs])

    def __call__(self, z: Array, present: Array) -> Array:
        """Features (n, R, E, hidden) of `z` (n, R, D) and `present` (n, R, E), 0 on rows that are not real."""
        q, k = (a(z).reshape(*z.shape[:2], self.heads, -1) for a in (self.query, self.key))
        gates = jax.nn.sigmoid(jnp.einsum("nimd,njmd->nmij", q, k))
        s = jnp.einsum("nmij,nje->niem", gates, present)
        return jax.nn.silu(self.elsewhere(s) + self.row(z)[:, :, None])


class Module(nnx.Module):
    """The network of section 4 of the paper; see `WyckoffGNN`."""

    def __init__(self, size: "WyckoffGNN", length: int, classes: int, rngs: nnx.Rngs):
        width, context = size.width, size.context
        self.classes = classes
        self.element = nnx.Embed(ELEMENTS + 1, width, embedding_init=unit, rngs=rngs)
        self.count = nnx.Embed(classes, 1, embedding_init=_rising, rngs=rngs)
        self.counts = nnx.Linear(ELEMENTS, width, kernel_init=unit, rngs=rngs)
        sizes = {"dof": 4, "letter": len(LETTERS), "group": GROUPS + 1, "step": length, "multiplicity": MULTIPLICITIES}
        self.context = nnx.Dict(
            {name: nnx.Embed(size, context, embedding_init=unit, rngs=rngs) for name, size in sizes.items()}
        )
        self.layers = nnx.List([Layer(width, context, rngs) for _ in range(size.layers)])
        self.elements_out = mlp(width, ELEMENTS + 1, 2 * width, rngs)
        self.counts_out = mlp(width, ELEMENTS * classes, 2 * width, rngs)
        self.pointer = Pointer(width + context, size.pointer, (1, classes), rngs) if size.pointer else None

    def __call__(self, x: tuple[Array, Array], slots: Layout, group: Array, step: Array) -> tuple[Array, Array]:
        """Logits of x_0: (n, R0, E + 1) and (n, R1, E, classes)."""
        h0 = self.element(x[0])
        # one learned number for each value of a count, looked up by a sum of few terms
        hot = x[1][..., None] == jnp.arange(self.classes)
        h1 = self.counts(jnp.where(hot, self.count.embedding[..., 0], 0.0).sum(-1))
        every = slots.every.at(group)
        c = self._context(every) + self.context["group"](group)[:, None] + self.context["step"](step)[:, None]
        # rows of both kinds close together: no edge is spent on the gap between the kinds
        h = _rows(jnp.concatenate([h0, h1], 1), slots.slot, group)
        for layer in self.layers:
            h = layer(h, c, every.real)
        h0, h1 = (_rows(h, part.row, group) for part in (slots.fixed, slots.free))
        elements, counts = self.elements_out(h0), self.counts_out(h1)
        counts = counts.reshape(*counts.shape[:2], ELEMENTS, self.classes)
        if self.pointer is None:
            return elements, counts
        present = jnp.concatenate([x[0][..., None] == jnp.arange(1, ELEMENTS + 1), x[1] > 0], 1)
        present = _rows(present, slots.slot, group) & every.real[..., None]
        found = self.pointer(jnp.concatenate([h, c], -1), present.astype(h.dtype))
        on0, on1 = (
            out(_rows(found, part.row, group))
            for out, part in zip(self.pointer.out, (slots.fixed, slots.free), strict=True)
        )
        return elements + jnp.pad(on0[..., 0], ((0, 0), (0, 0), (1, 0))), counts + on1

    def _context(self, part: Any) -> Array:
        named = {"dof": part.dof, "letter": part.row, "multiplicity": part.multiplicity}
        return jnp.stack([self.context[name](value) for name, value in named.items()]).sum(0)


def _rising(key: Array, shape: tuple[int, ...], *_: Any) -> Array:
    """0, 1, 2, ...: an element that is not there begins without a voice."""
    return jnp.arange(shape[0], dtype=jnp.float32)[:, None]


def _rows(h: Array, places: Array, group: Array) -> Array:
    """(n, R, ...) of (n, R', ...): the rows at places (231, R)."""
    places = jnp.asarray(places)[group]
    return jnp.take_along_axis(h, places.reshape(*places.shape, *[1] * (h.ndim - 2)), 1)


@dataclass(frozen=True)
class WyckoffGNN:
    """WyckoffGNN (Ekstrom Kelvinius et al. 2025, arXiv 2502.06485): attention over the rows of a crystal.

    The preset paper has the published 9,575,083 parameters (T = 1000, counts to 54).
    """

    width: int = 64
    """H, features of a row."""
    context: int = 16
    """D, features of letter, freedom, multiplicity, group and time."""
    layers: int = 2
    """Rounds of attention."""
    pointer: int = 4
    """Heads of what tells of every element where else in the crystal it is; the published network has none."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """tiny, default and paper."""
        return {"tiny": cls(16, 8, 1, 2), "default": cls(), "paper": cls(256, 16, 3, 0)}[name]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.width, self.context, self.layers) < 1 or self.pointer < 0:
            raise UsageError(f"wyckoff_gnn: width, context, layers must be positive, pointer not negative, got {self}")

    def build(self, rngs: nnx.Rngs, length: int, classes: int) -> Module:
        """The module for T steps and counts below `classes`."""
        return Module(self, length, classes, rngs)


def silent(params: Any) -> Any:
    """Parameters of a network that answers zero: it begins as the prior that its answer is added to."""
    new = jax.tree.map(lambda a: a, params)  # a copy of the dicts
    heads = [(new[name]["layers"], max(new[name]["layers"])) for name in ("elements_out", "counts_out")]
    if "pointer" in new:
        heads += [(new["pointer"]["out"], i) for i in new["pointer"]["out"]]
    for layers, last in heads:
        layers[last] = jax.tree.map(jnp.zeros_like, layers[last])
    return new
