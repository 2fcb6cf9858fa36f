"""The graph transformer of DiGress: Vignac et al. 2023 (arXiv 2209.14734), as in Kelvinius and Lindsten 2024."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import Arithmetic, dropout, linear, positional_frequencies, sinusoids
from genkit_molecules.chemistry import ATOM, BONDS, GRAPH, features, pairs

Array = jax.Array
TIME = 32  # features of the hidden fraction


@dataclass(frozen=True)
class GraphTransformer(Arithmetic):
    """Attention over atoms, modulated channel by channel by the bonds, which are updated too; equivariant."""

    layers: int = 7
    """Layers."""
    dx: int = 256
    """Features of an atom."""
    de: int = 64
    """Features of a pair of atoms."""
    dy: int = 1
    """Features of the whole graph; 1, as published without time and features, lets next to nothing through that is
    told: the layer norm of one number is a constant."""
    heads: int = 8
    """Heads; of dx / heads features each, for the scale of the attention."""
    hidden_x: int = 256
    """Width inside the maps of atoms."""
    hidden_e: int = 128
    """Width inside the maps of pairs."""
    hidden_y: int = 0
    """Width inside the map of graph features in each layer; 0 leaves it out."""
    dropout: float = 0.1
    """Rate in training."""
    time: bool = False
    """Tell the network the time, or the fraction that is hidden."""
    features: bool = False
    """Tell it cycles, the spectrum and free valences of the graph as seen: `genkit_molecules.chemistry.features`."""

    @classmethod
    def preset(cls, name: str) -> GraphTransformer:
        """Presets tiny and default (2 layers, for two cores, told time and features), and paper (QM9 with hydrogen)."""
        if name == "paper":
            return cls()
        return cls(2, dx=64, de=32, dy=32, heads=4, hidden_x=64, hidden_e=32, hidden_y=32, dropout=0.0, time=True,
                   features=True)  # fmt: skip

    def __post_init__(self) -> None:
        """Check the widths."""
        if self.heads < 1 or self.dx % self.heads:
            raise UsageError(f"dx={self.dx} is no multiple of heads={self.heads}, at least 1")

    def build(
        self,
        rngs: nnx.Rngs,
        elements: tuple[str, ...],
        head: Literal["generator", "ordered", "discriminator"] = "generator",
        outputs: int = 1,
        conditions: int = 0,
    ) -> GraphTransformerModule:
        """A module of (atoms (B, n), bonds (B, P), t (B,), mask (B, n) bool or None, cond (B, c) or None, key or None).

        Elements are symbols. The generator answers with logits (B, n, elements) and (B, P, 4), the one of a learned
        order with two more numbers of each site (`genkit.discrete.Ordered`), the discriminator with (B, outputs).
        """
        return GraphTransformerModule(self, rngs, elements, head, outputs, conditions)


class GraphTransformerModule(nnx.Module):
    """See `GraphTransformer`; `key` switches dropout on."""

    def __init__(
        self,
        config: GraphTransformer,
        rngs: nnx.Rngs,
        symbols: tuple[str, ...],
        head: str,
        outputs: int,
        conditions: int,
    ):
        elements = len(symbols)
        c, self.config, self.symbols, self.elements, self.head = config, config, symbols, elements, head
        options: Any = {"dtype": c.numbers, "rngs": rngs}
        self.in_x = Twice(elements + 1 + ATOM * c.features, c.hidden_x, c.dx, True, **options)
        self.in_e = Twice(BONDS + 1, c.hidden_e, c.de, True, **options)
        given = 1 + TIME * c.time + GRAPH * c.features + conditions
        self.in_y = Twice(given, max(c.dy, c.hidden_y), c.dy, True, **options)
        self.layers = nnx.List([Layer(c, rngs) for _ in range(c.layers)])
        wide, more = head == "discriminator", 2 * (head == "ordered")
        self.out_x = Twice(c.dx, c.hidden_x, c.hidden_x if wide else elements + more, False, **options)
        self.out_e = Twice(c.de, c.hidden_e, c.hidden_e if wide else BONDS + more, False, **options)
        if wide:
            both = c.hidden_x + c.hidden_e
            self.last = Twice(both, both, outputs, False, rngs=rngs)

    def __call__(self, atoms, bonds, t, mask=None, cond=None, key=None):
        """Logits, or numbers of the graph."""
        b, n = atoms.shape
        mask = jnp.ones((b, n), bool) if mask is None else mask
        i, j = pairs(n).T
        full = jnp.zeros((b, n, n), bonds.dtype).at[:, i, j].set(bonds).at[:, j, i].set(bonds)
        x0 = jax.nn.one_hot(atoms, self.elements + 1)
        real_x = mask[..., None]
        real_e = (mask[:, :, None] & mask[:, None, :] & ~jnp.eye(n, dtype=bool))[..., None]
        e0 = jnp.where(real_e, jax.nn.one_hot(full, BONDS + 1), 0.0)
        x_in, y = x0, [jnp.zeros((b, 1))]
        if self.config.features:
            of_atoms, of_graph = features(atoms, full, mask, self.symbols)
            x_in, y = jnp.concatenate([x0, of_atoms], -1), [*y, of_graph]
        x, e = jnp.where(real_x, self.in_x(x_in), 0), self.in_e(e0)
        e = jnp.where(real_e, (e + e.swapaxes(1, 2)) / 2, 0)
        if self.config.time:
            y.append(sinusoids(100 * jnp.broadcast_to(t, (b,)), positional_frequencies(TIME)))
        y = self.in_y(jnp.concatenate([*y, *([] if cond is None else [cond])], -1))
        for k, layer in enumerate(self.layers):
            own = None if key is None else jax.random.fold_in(key, k)
            x, e, y = self.config.through(layer, x, e, y, mask, real_x, real_e, own)
        x, e = (out(a).astype(jnp.float32) for out, a in ((self.out_x, x), (self.out_e, e)))
        if self.head == "discriminator":
            count = mask.sum(1, keepdims=True)
            mean_x = jnp.where(real_x, x, 0).sum(1) / count
            mean_e = jnp.where(real_e, e, 0).sum((1, 2)) / jnp.maximum(count * (count - 1), 1)
            return self.last(jnp.concatenate([mean_x, mean_e], -1))
        x, e = x.at[..., : self.elements].add(x0[..., :-1]), e.at[..., :BONDS].add(e0[..., :-1])
        return x, ((e + e.swapaxes(1, 2)) / 2)[:, i, j]


class Twice(nnx.Module):
    """Linear, ReLU, Linear, and ReLU if asked."""

    def __init__(self, inputs: int, hidden: int, outputs: int, last: bool, **options: Any):
        self.first, self.second, self.last = linear(inputs, hidden, **options), linear(hidden, outputs, **options), last

    def __call__(self, x):
        """Apply."""
        x = self.second(jax.nn.relu(self.first(x)))
        return jax.nn.relu(x) if self.last else x


class Layer(nnx.Module):
    """Attention and update of atoms, pairs and graph; each with residual and layer norm, then a perceptron."""

    def __init__(self, c: GraphTransformer, rngs: nnx.Rngs):
        self.rate, self.scale = c.dropout, (c.dx // c.heads) ** -0.5
        options: Any = {"dtype": c.numbers, "rngs": rngs}

        def dense(a: int, b: int) -> nnx.Linear:
            return linear(a, b, **options)

        def norm(a: int) -> nnx.LayerNorm:
            return nnx.LayerNorm(a, epsilon=1e-5, **options)

        self.q, self.k, self.v = dense(c.dx, c.dx), dense(c.dx, c.dx), dense(c.dx, c.dx)
        self.e_add, self.e_mul = dense(c.de, c.dx), dense(c.de, c.dx)
        self.y_e_add, self.y_e_mul = dense(c.dy, c.dx), dense(c.dy, c.dx)
        self.y_x_add, self.y_x_mul = dense(c.dy, c.dx), dense(c.dy, c.dx)
        self.x_out, self.e_out = dense(c.dx, c.dx), dense(c.dx, c.de)
        self.y_y, self.x_y, self.e_y = dense(c.dy, c.dy), dense(4 * c.dx, c.dy), dense(4 * c.de, c.dy)
        self.y_out = Twice(c.dy, c.dy, c.dy, False, **options)
        self.norms = nnx.List([norm(a) for a in (c.dx, c.de, c.dy) for _ in range(2)])
        self.f_x = Twice(c.dx, c.hidden_x, c.dx, False, **options)
        self.f_e = Twice(c.de, c.hidden_e, c.de, False, **options)
        self.f_y = Twice(c.dy, c.hidden_y, c.dy, False, **options) if c.hidden_y else None

    def __call__(self, x, e, y, mask, real_x, real_e, key):
        """(x (B, n, dx), e (B, n, n, de), y (B, dy)) -> the same."""
        q, k, v = (jnp.where(real_x, f(x), 0) for f in (self.q, self.k, self.v))
        # channel by channel: no sum over the features of a head
        a = q[:, :, None] * k[:, None] * self.scale
        a = a * (self.e_mul(e) + 1) + self.e_add(e)
        new_e = self.e_out(self.y_e_add(y)[:, None, None] + (self.y_e_mul(y)[:, None, None] + 1) * a)
        attention = jax.nn.softmax(jnp.where(mask[:, None, :, None], a.astype(jnp.float32), -1e9), 2)
        mixed = (attention.astype(v.dtype) * v[:, None]).sum(2)
        new_x = self.x_out(self.y_x_add(y)[:, None] + (self.y_x_mul(y)[:, None] + 1) * mixed)
        new_y = self.y_y(y) + self.x_y(_statistics(x, real_x, (1,))) + self.e_y(_statistics(e, real_e, (1, 2)))
        parts = [x, e, y], [new_x, new_e, self.y_out(new_y)], [self.f_x, self.f_e, self.f_y], [real_x, real_e, None]
        out = []
        for p, (old, new, f, real) in enumerate(zip(*parts, strict=True)):
            # sums run over n keys in another order after relabelling: exact equivariance is up to rounding
            k1, k2, k3 = (None,) * 3 if key is None else jax.random.split(jax.random.fold_in(key, p), 3)
            one = self.norms[2 * p](old + dropout(new, self.rate, k1))
            if f is not None:
                inner = f.second(dropout(jax.nn.relu(f.first(one)), self.rate, k2))
                one = self.norms[2 * p + 1](one + dropout(inner, self.rate, k3))
            out.append(one if real is None else jnp.where(real, one, 0))
        return tuple(out)


def _statistics(a: Array, real: Array, axes: tuple[int, ...]) -> Array:
    """Mean, minimum, maximum and standard deviation over the real entries, (B, 4 c), float32."""
    a = a.astype(jnp.float32)
    count = jnp.maximum(real.sum(axes), 1)
    mean = jnp.where(real, a, 0).sum(axes) / count
    far = a - jnp.expand_dims(mean, axes)
    variance = jnp.where(real, far**2, 0).sum(axes) / count
    some = real.any(axes)
    low = jnp.where(some, jnp.where(real, a, jnp.inf).min(axes), 0)
    high = jnp.where(some, jnp.where(real, a, -jnp.inf).max(axes), 0)
    return jnp.concatenate([mean, low, high, jnp.sqrt(variance + 1e-12)], -1)
