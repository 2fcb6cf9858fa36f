"""WyckoffGNN: attention by perceptrons on the complete graph of a crystal's Wyckoff positions."""

from dataclasses import dataclass
from typing import Annotated, Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.kinds import ZERO
from genkit.nn import MLP, Arithmetic
from genkit_crystals.chains import Layout
from genkit_crystals.protostructures import ELEMENTS, GROUPS, LETTERS, periodic_table

Array = Any
MULTIPLICITIES = 193  # 0..192
GATES = 8  # sums over the rows of an element that a critic sees
SPECIES = 8  # numbers of elements that are told apart
GAIN = 1.68  # E[SiLU(x)^2] ** -0.5 for x ~ N(0, 1)
unit = nnx.initializers.normal(1.0)


@dataclass(frozen=True)
class Sizes:
    """What a network of crystals is built for."""

    length: int
    """times"""
    classes: int
    """counts are below it"""
    outputs: int | None = None
    """None of a generator, which answers with logits of x_0; a critic answers with (n, outputs)"""


def mlp(inputs: int, outputs: int, hidden: int, rngs: nnx.Rngs, depth: int = 3, dtype: Any = jnp.float32) -> MLP:
    """Hidden layers with SiLU; they begin so that features keep their size from layer to layer."""
    made = MLP((inputs, *[hidden] * depth, outputs), dtype=dtype, rngs=rngs)
    for layer in made.layers:
        layer.kernel[...] *= GAIN
    return made


class Layer(nnx.Module):
    """h_i <- SiLU(h_i + sum_j a_ij psi(z_j)), a_ij = softmax_j MLP([z_i; z_j]), z = [h; c].

    j runs over all real rows, i among them. psi is computed once a row, and the first linear map of the scores acts
    on receivers and senders apart, which are then added: the numbers of the published form at half the work.
    """

    def __init__(self, width: int, context: int, rngs: nnx.Rngs, depth: int = 3, dtype: Any = jnp.float32):
        size = width + context
        self.scores = mlp(2 * size, 1, 2 * size, rngs, depth, dtype)
        self.values = mlp(size, width, 2 * size, rngs, depth, dtype)

    def __call__(self, h: Array, c: Array, real: Array) -> Array:
        """`h` (n, R, H), `c` (n, R, D), `real` (n, R) bool."""
        z = jnp.concatenate([h, c], -1)
        first, *rest = self.scores.layers
        bias: Any = first.bias
        receiver, sender = jnp.split(first.kernel[...].astype(z.dtype), 2)
        edges = (z @ receiver + bias[...].astype(z.dtype))[:, :, None] + (z @ sender)[:, None]
        for layer in rest:
            edges = layer(jax.nn.silu(edges))
        scores = jnp.where(real[:, None], edges[..., 0].astype(jnp.float32), -jnp.inf)
        attention = jax.nn.softmax(scores, -1).astype(z.dtype)
        return jax.nn.silu(h + jnp.einsum("nij,njh->nih", attention, self.values(z)))


class Pointer(nnx.Module):
    """Features of an element on a row, by where else in the crystal it is.

    `out` maps them to logits of x0 and of x1. All elements share one map.

    s_iem = sum_j sigmoid(q_im . k_jm) [e is on j] over the real rows j and heads m, then a perceptron of s_ie and z_i.
    """

    def __init__(self, inputs: int, heads: int, outputs: tuple[int, int], rngs: nnx.Rngs, dtype: Any = jnp.float32):
        self.heads, hidden = heads, 8
        self.query = nnx.Linear(inputs, 8 * heads, dtype=dtype, rngs=rngs)
        self.key = nnx.Linear(inputs, 8 * heads, dtype=dtype, rngs=rngs)
        self.row = nnx.Linear(inputs, hidden, dtype=dtype, rngs=rngs)
        self.elsewhere = nnx.Linear(heads, hidden, use_bias=False, dtype=dtype, rngs=rngs)
        self.out = nnx.List([nnx.Linear(hidden, size, dtype=dtype, rngs=rngs) for size in outputs])

    def __call__(self, z: Array, present: Array) -> Array:
        """Features (n, R, E, hidden) of `z` (n, R, D) and `present` (n, R, E), 0 on rows that are not real."""
        q, k = (a(z).reshape(*z.shape[:2], self.heads, -1) for a in (self.query, self.key))
        gates = jax.nn.sigmoid(jnp.einsum("nimd,njmd->nmij", q, k))
        s = jnp.einsum("nmij,nje->niem", gates, present.astype(z.dtype))
        return jax.nn.silu(self.elsewhere(s) + self.row(z)[:, :, None])


class Affinity(nnx.Module):
    """What elements say of one another: logits q_i . g_e of element e on row i, of low rank.

    q_i is a perceptron of z_i and of the sum of f_e over the elements e that are in the crystal. f and g are learned
    features of elements, each the sum of one of the element, one of its period and one of its column, so that what is
    learned of an element tells of its neighbours in the periodic table.
    """

    def __init__(self, inputs: int, rank: int, hidden: int, rngs: nnx.Rngs, depth: int, dtype: Any = jnp.float32):
        sizes = {"element": ELEMENTS + 1, "period": 10, "column": 19}

        def features() -> nnx.Dict:
            return nnx.Dict({name: nnx.Embed(n, rank, embedding_init=unit, rngs=rngs) for name, n in sizes.items()})

        self.there, self.asked = features(), features()
        self.out = mlp(inputs + rank, rank, hidden, rngs, depth, dtype)

    def __call__(self, z: Array, present: Array) -> Array:
        """(n, R, E) of `z` (n, R, D) and `present` (n, R, E)."""
        there = present.max(1) @ _of_elements(self.there)
        rows = jnp.broadcast_to(there[:, None], (*z.shape[:2], there.shape[-1]))
        return self.out(jnp.concatenate([z, rows], -1)) @ _of_elements(self.asked).T


def _of_elements(parts: nnx.Dict) -> Array:
    """(E, rank)."""
    period, column = periodic_table()[1:, 2:].astype(int).T
    places = {"element": np.arange(1, ELEMENTS + 1), "period": period, "column": column}
    return jnp.stack([parts[name](i) for name, i in places.items()]).sum(0)


class Trunk(nnx.Module):
    """Features of rows: embeddings, then rounds of attention (section 4 of the paper)."""

    def __init__(self, size: "WyckoffGNN", length: int, classes: int, rngs: nnx.Rngs):
        width, context = size.width, size.context
        self.classes, self.options = classes, size
        self.element = nnx.Embed(ELEMENTS + 1, width, embedding_init=unit, rngs=rngs)
        self.count = nnx.Embed(classes, 1, embedding_init=_rising, rngs=rngs)
        self.counts = nnx.Linear(ELEMENTS, width, kernel_init=unit, rngs=rngs)
        sizes = {"dof": 4, "letter": len(LETTERS), "group": GROUPS + 1, "step": length, "multiplicity": MULTIPLICITIES}
        begin = dict.fromkeys(sizes, unit)
        if size.pointer:
            sizes["species"] = SPECIES + 1  # one element on two rows or two: sums over rows hardly tell
            begin |= {"species": unit, "step": _waves}
        self.context = nnx.Dict(
            {name: nnx.Embed(n, context, embedding_init=begin[name], rngs=rngs) for name, n in sizes.items()}
        )
        self.layers = nnx.List([Layer(width, context, rngs, size.depth, size.numbers) for _ in range(size.layers)])

    def rows(self, x: tuple[Array, Array], slots: Layout, group: Array, step: Array) -> tuple[Array, Array, Array]:
        """Features h (n, R, H), context c (n, R, D), and which elements are there (n, R, E), of rows by letter."""
        h0 = self.element(x[0])
        # one learned number for each value of a count, looked up by a sum of few terms
        hot = x[1][..., None] == jnp.arange(self.classes)
        h1 = self.counts(jnp.where(hot, self.count.embedding[..., 0], 0.0).sum(-1))
        every = slots.every.at(group)
        present = jnp.concatenate([x[0][..., None] == jnp.arange(1, ELEMENTS + 1), x[1] > 0], 1)
        present = _rows(present, slots.slot, group) & every.real[..., None]
        c = self._context(every) + self.context["group"](group)[:, None] + self.context["step"](step)[:, None]
        if "species" in self.context:
            c += self.context["species"](jnp.minimum(present.any(1).sum(1), SPECIES))[:, None]
        # rows of both kinds close together: no edge is spent on the gap between the kinds
        h = _rows(jnp.concatenate([h0, h1], 1), slots.slot, group)
        h, c = (a.astype(self.options.numbers) for a in (h, c))
        for layer in self.layers:
            h = self.options.through(layer, h, c, every.real)
        return h, c, present.astype(jnp.float32)

    def _context(self, part: Any) -> Array:
        named = {"dof": part.dof, "letter": part.row, "multiplicity": part.multiplicity}
        return jnp.stack([self.context[name](value) for name, value in named.items()]).sum(0)


class Generator(Trunk):
    """Logits of x_0."""

    def __init__(self, size: "WyckoffGNN", length: int, classes: int, rngs: nnx.Rngs):
        super().__init__(size, length, classes, rngs)
        width, inputs, dtype = size.width, size.width + size.context, size.numbers
        self.elements_out = mlp(width, ELEMENTS + 1, 2 * width, rngs, size.depth, dtype)
        self.counts_out = mlp(width, ELEMENTS * classes, 2 * width, rngs, size.depth, dtype)
        self.pointer = Pointer(inputs, size.pointer, (1, classes), rngs, dtype) if size.pointer else None
        rank = size.affinity
        self.affinity = Affinity(inputs, rank, 2 * width, rngs, size.depth, dtype) if rank else None

    def __call__(self, x: tuple[Array, Array], slots: Layout, group: Array, step: Array) -> tuple[Array, Array]:
        """Logits of x_0: (n, R0, E + 1) and (n, R1, E, classes)."""
        h, c, present = self.rows(x, slots, group, step)
        h0, h1 = (_rows(h, part.row, group) for part in (slots.fixed, slots.free))
        elements, counts = (a.astype(jnp.float32) for a in (self.elements_out(h0), self.counts_out(h1)))
        counts = counts.reshape(*counts.shape[:2], ELEMENTS, self.classes)
        z = jnp.concatenate([h, c], -1)
        if self.pointer is not None:
            found = self.pointer(z, present)
            on0, on1 = (
                out(_rows(found, part.row, group))
                for out, part in zip(self.pointer.out, (slots.fixed, slots.free), strict=True)
            )
            elements, counts = elements + _of_none(on0[..., 0]), counts + on1
        if self.affinity is not None:
            said = self.affinity(z, present)
            on0, on1 = (_rows(said, part.row, group) for part in (slots.fixed, slots.free))
            elements += _of_none(on0)
            counts += jnp.where(jnp.arange(self.classes) > 0, on1[..., None], 0.0)
        return elements, counts


class Critic(Trunk):
    """Numbers of a whole crystal: the mean over its rows, the sum over its elements, and how many elements it has.

    What an element brings depends on which it is and on the rows that have it.
    """

    def __init__(self, size: "WyckoffGNN", length: int, classes: int, outputs: int, rngs: nnx.Rngs):
        super().__init__(size, length, classes, rngs)
        width, inputs = size.width, size.width + size.context
        self.row = nnx.Linear(inputs, width, rngs=rngs)
        self.gates = nnx.Linear(inputs, GATES, rngs=rngs)
        self.which = nnx.Embed(ELEMENTS, width, embedding_init=unit, rngs=rngs)
        self.where = nnx.Linear(GATES, width, use_bias=False, rngs=rngs)
        self.species = nnx.Embed(SPECIES + 1, width, rngs=rngs)
        self.out = mlp(3 * width, outputs, 2 * width, rngs, size.depth)
        self.out.layers[-1].kernel[...] *= 0  # begins without an opinion

    def __call__(self, x: tuple[Array, Array], slots: Layout, group: Array, step: Array) -> Array:
        """(n, outputs)."""
        h, c, present = self.rows(x, slots, group, step)
        z, real = jnp.concatenate([h, c], -1).astype(jnp.float32), slots.every.at(group).real[..., None]
        rows = jnp.where(real, jax.nn.silu(self.row(z)), 0.0).sum(1) / real.sum(1)
        where = self.where(jnp.einsum("nim,nie->nem", jax.nn.sigmoid(self.gates(z)), present))
        there = present.max(1)
        elements = (jax.nn.silu(self.which.embedding[...] + where) * there[..., None]).sum(1)
        species = self.species(jnp.minimum(there.sum(1), SPECIES).astype(int))
        return self.out(jnp.concatenate([rows, elements, species], -1))


def _waves(key: Array, shape: tuple[int, ...], *_: Any) -> Array:
    """Sines and cosines of the step, of wavelengths from 8 steps to four times all: near steps begin alike."""
    length, width = shape
    each = jnp.arange(width)
    wavelength = 8.0 * (length / 2) ** (each // 2 / max((width - 1) // 2, 1))
    return jnp.sqrt(2.0) * jnp.sin(2 * jnp.pi * (jnp.arange(length)[:, None] / wavelength + each % 2 / 4))


def _rising(key: Array, shape: tuple[int, ...], *_: Any) -> Array:
    """0, 1, 2, ...: an element that is not there begins without a voice."""
    return jnp.arange(shape[0], dtype=jnp.float32)[:, None]


def _of_none(logits: Array) -> Array:
    """(..., E + 1) of (..., E): nothing is added for an empty row."""
    return jnp.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(1, 0)])


def _rows(h: Array, places: Array, group: Array) -> Array:
    """(n, R, ...) of (n, R', ...): the rows at places (231, R)."""
    places = jnp.asarray(places)[group]
    return jnp.take_along_axis(h, places.reshape(*places.shape, *[1] * (h.ndim - 2)), 1)


@dataclass(frozen=True)
class WyckoffGNN(Arithmetic):
    """WyckoffGNN (Ekstrom Kelvinius et al. 2025, arXiv 2502.06485): attention over the rows of a crystal.

    The preset paper has the published 9,575,083 parameters (T = 1000, counts to 54).
    """

    width: int = 64
    """H, features of a row."""
    context: int = 16
    """D, features of letter, freedom, multiplicity, group and time."""
    layers: int = 2
    """Rounds of attention."""
    pointer: Annotated[int, ZERO] = 4
    """Heads of what tells of every element where else in the crystal it is; the network is then told as well how many
    elements there are, and features of the time begin as waves. The published network has none of the three."""
    affinity: Annotated[int, ZERO] = 16
    """Rank of what the elements that are there say of others; 0 for nothing, as published."""
    depth: int = 3
    """Hidden layers of each perceptron."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """tiny, default and paper."""
        return {"tiny": cls(16, 8, 1, 2, 4), "default": cls(), "paper": cls(256, 16, 3, 0, 0)}[name]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.width, self.context, self.layers, self.depth) < 1 or min(self.pointer, self.affinity) < 0:
            raise UsageError(
                "wyckoff_gnn: width, context, layers, depth must be positive, pointer and affinity not negative, got "
                f"{self}"
            )

    def build(self, rngs: nnx.Rngs, sizes: Sizes) -> Generator | Critic:
        """The module; its call takes (x, slots, group, step)."""
        if sizes.outputs is None:
            return Generator(self, sizes.length, sizes.classes, rngs)
        return Critic(self, sizes.length, sizes.classes, sizes.outputs, rngs)


def silent(params: Any) -> Any:
    """Parameters of a network that answers zero: it begins as the prior that its answer is added to."""
    new = jax.tree.map(lambda a: a, params)  # a copy of the dicts
    heads = [(new[name]["layers"], max(new[name]["layers"])) for name in ("elements_out", "counts_out")]
    if "affinity" in new:
        layers = new["affinity"]["out"]["layers"]
        heads.append((layers, max(layers)))
    if "pointer" in new:
        heads += [(new["pointer"]["out"], i) for i in new["pointer"]["out"]]
    for layers, last in heads:
        layers[last] = jax.tree.map(jnp.zeros_like, layers[last])
    return new
