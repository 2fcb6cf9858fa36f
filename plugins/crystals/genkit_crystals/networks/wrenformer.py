"""Wrenformer: a transformer on the orbits of a protostructure, whose embedding measures distances."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import Arithmetic, linear
from genkit_crystals.protostructures import (
    ELEMENTS,
    GROUPS,
    LETTERS,
    Protostructure,
    pearson,
    periodic_table,
    symbols,
    tables,
)

Array = Any
TRUNK, HEAD, EMBEDDING = (1024, 512), (128, 64), 256
FILES = ("crystals/matscholar200.json", "crystals/bra-alg-off.json")  # of the package aviary


@dataclass(frozen=True)
class TokenSizes:
    """What an encoder is built for: features of a token, and targets."""

    features: int
    outputs: int = 1


class Block(nnx.Module):
    """Pre-norm transformer block with ReLU, (n, L, d)."""

    def __init__(self, config: "Wrenformer", rngs: nnx.Rngs):
        width, inner, options = config.width, config.inner, {"dtype": config.numbers, "rngs": rngs}
        self.heads = config.heads
        self.norms = nnx.List([nnx.LayerNorm(width, **options) for _ in range(2)])
        self.qkv, self.out = linear(width, 3 * width, **options), linear(width, width, **options)
        self.first, self.second = linear(width, inner, **options), linear(inner, width, **options)

    def __call__(self, x: Array, real: Array) -> Array:
        """Attention over the real tokens, then a perceptron."""
        n, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).reshape(n, length, 3, self.heads, -1)
        scores = jnp.einsum("nihd,njhd->nhij", qkv[:, :, 0], qkv[:, :, 1], preferred_element_type=jnp.float32)
        scores = jnp.where(real[:, None, None], scores * (width // self.heads) ** -0.5, -1e9)
        attention = jax.nn.softmax(scores, -1).astype(x.dtype)
        x = x + self.out(jnp.einsum("nhij,njhd->nihd", attention, qkv[:, :, 2]).reshape(n, length, width))
        return x + self.second(jax.nn.relu(self.first(self.norms[1](x))))


class Residual(nnx.Module):
    """Layers ReLU(W x + b) + V x, where V is the identity between equal widths."""

    def __init__(self, widths: tuple[int, ...], rngs: nnx.Rngs):
        pairs = list(zip(widths, widths[1:], strict=False))
        self.layers = nnx.List([linear(a, b, rngs=rngs) for a, b in pairs])
        skips = [nnx.Linear(a, b, use_bias=False, rngs=rngs) for a, b in pairs if a != b]
        self.skips = nnx.List(skips)

    def __call__(self, x: Array) -> Array:
        """Apply the layers."""
        skips = iter(self.skips)
        for layer in self.layers:
            skip = x if layer.in_features == layer.out_features else next(skips)(x)
            x = jax.nn.relu(layer(x)) + skip
        return x


class Module(nnx.Module):
    """See `Wrenformer`; `tokens` (n, L, F), `real` (n, L), `image` (n, L) numbers of equivalent assignments."""

    def __init__(self, features: int, outputs: int, options: "Wrenformer", rngs: nnx.Rngs):
        self.options = options
        self.embed = linear(features, options.width, dtype=options.numbers, rngs=rngs)
        self.blocks = nnx.List([Block(options, rngs) for _ in range(options.layers)])
        self.trunk, self.trunk_out = Residual((options.width, *TRUNK), rngs), linear(TRUNK[-1], EMBEDDING, rngs=rngs)
        self.head, self.head_out = Residual((EMBEDDING, *HEAD), rngs), linear(HEAD[-1], 2 * outputs, rngs=rngs)

    def embedding(self, tokens: Array, real: Array) -> Array:
        """(n, width): mean over tokens and equivalent assignments; tokens (n, A, L, F), real (n, A, L)."""
        n, a, length, _ = tokens.shape
        x, seen = self.embed(tokens).reshape(n * a, length, -1), real.reshape(n * a, length)
        for block in self.blocks:
            x = self.options.through(block, x, seen)
        x = jnp.where(seen[..., None], x.astype(jnp.float32), 0).reshape(n, a * length, -1)
        return x.sum(1) / real.sum((1, 2))[:, None]

    def __call__(self, tokens: Array, real: Array) -> tuple[Array, Array]:
        """Mean and log standard deviation of the targets, (n, outputs) each."""
        h = jax.nn.relu(self.trunk_out(self.trunk(self.embedding(tokens, real))))
        mean, log_std = jnp.split(self.head_out(self.head(h)), 2, -1)
        return mean, log_std


@dataclass(frozen=True)
class Wrenformer(Arithmetic):
    """Wrenformer (Riebesell et al. 2025, doi 10.1038/s42256-025-01055-1): a transformer on the orbits of a crystal.

    The preset paper has the 5,166,658 parameters of Matbench Discovery, with its 200 features of elements and 444 of
    Wyckoff positions from the files of GENKIT_DATA; without those, features of the periodic table and one-hot letters.
    """

    width: int = 64
    """Features of a token; the embedding has as many."""
    layers: int = 2
    """Blocks."""
    heads: int = 4
    """Heads of attention."""
    inner: int = 128
    """Width of the perceptron in a block."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """tiny, default and paper."""
        return {"tiny": cls(16, 1, 2, 16), "default": cls(), "paper": cls(128, 6, 4, 2048)}[name]

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.width, self.layers, self.heads, self.inner) < 1 or self.width % self.heads:
            raise UsageError(f"wrenformer: {self}; sizes must be at least 1, and width a multiple of heads")

    def build(self, rngs: nnx.Rngs, sizes: TokenSizes) -> Module:
        """The module for tokens of this many features, and so many targets."""
        return Module(sizes.features, sizes.outputs, self, rngs)


@dataclass(frozen=True)
class Tokens:
    """Crystals as sequences of orbits: which element and row each token has, by equivalent assignment."""

    group: np.ndarray
    """(n,)."""
    row: np.ndarray
    """(n, A, L) int, Wyckoff letters."""
    element: np.ndarray
    """(n, A, L) int, atomic numbers; 0 where there is no token."""
    share: np.ndarray
    """(n, A, L) float32, atoms of the orbit over all atoms."""

    def take(self, rows: Any) -> dict[str, np.ndarray]:
        """Arrays of some crystals, for `features`."""
        return {name: getattr(self, name)[rows] for name in ("group", "row", "element", "share")}


def tokens(crystals: Sequence[Protostructure], length: int, images: int = 4) -> Tokens:
    """Tokens of crystals.

    Args:
        crystals: the crystals.
        length: places for orbits; further ones, the rarest letters, are left out.
        images: equivalent assignments that are averaged over, evenly spread over all of them and repeated where there
            are fewer.
    """
    n = len(crystals)
    row, element = np.zeros((n, images, length), np.int16), np.zeros((n, images, length), np.int16)
    share = np.zeros((n, images, length), np.float32)
    multiplicity = tables().multiplicity
    for i, crystal in enumerate(crystals):
        every = crystal.images()
        for a in range(images):
            one = every[a * len(every) // images] if len(every) > images else every[a % len(every)]
            orbits = [(r, z) for r, z, count in one.orbits for _ in range(count)][:length]
            rows = np.array([r for r, _ in orbits])
            row[i, a, : len(orbits)], element[i, a, : len(orbits)] = rows, [z for _, z in orbits]
            share[i, a, : len(orbits)] = multiplicity[crystal.group, rows] / crystal.atoms
    return Tokens(np.array([c.group for c in crystals], np.int16), row, element, share)


def features(batch: dict[str, Array], tables: tuple[np.ndarray, np.ndarray]) -> tuple[Array, Array]:
    """Inputs of the network, (n, A, L, F) and which are real, of arrays of `Tokens.take` and `feature_tables()`."""
    of_element, of_position = (jnp.asarray(a) for a in tables)
    group, row, element = (batch[k].astype(int) for k in ("group", "row", "element"))
    parts = [batch["share"][..., None], of_element[element], of_position[group[:, None, None], row]]
    return jnp.concatenate(parts, -1), element > 0


@cache
def feature_tables(folder: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Features of elements (E + 1, f) and of Wyckoff positions (231, 27, g): published ones, or else plain ones.

    Args:
        folder: that of the published tables; plain features where it is None or lacks them.
    """
    files = [Path(folder or "") / name for name in FILES]
    if folder and all(file.is_file() for file in files):
        return _published(*files)
    elements = periodic_table().copy()
    elements[1:] = (elements[1:] - elements[1:].mean(0)) / elements[1:].std(0)
    hot = np.eye(ELEMENTS + 1)
    hot[0] = 0
    t, letters = tables(), len(LETTERS)
    positions = np.zeros((GROUPS + 1, letters, 17 + letters), np.float32)
    for group in range(1, GROUPS + 1):
        family, centring = pearson(group)
        positions[group, :, "amothc".index(family)] = 1
        positions[group, :, 6 + "PCIFR".index(centring)] = 1
        for row in range(t.rows[group]):
            positions[group, row, 11 + t.dof[group, row]] = 1
            positions[group, row, 15] = np.log(t.multiplicity[group, row]) / 3
            positions[group, row, 16] = group / GROUPS
            positions[group, row, 17 + row] = 1
    return np.concatenate([elements, hot], 1).astype(np.float32), positions


def data_folder() -> str | None:
    """The folder of the published tables, where the user has one."""
    return os.environ.get("GENKIT_DATA")


def _published(element_file: Path, position_file: Path) -> tuple[np.ndarray, np.ndarray]:
    by_symbol, by_group = json.loads(element_file.read_text()), json.loads(position_file.read_text())
    elements = np.zeros((ELEMENTS + 1, len(by_symbol["H"])), np.float32)
    for z, name in enumerate(symbols()):
        if name in by_symbol:
            elements[z] = by_symbol[name]
    positions = np.zeros((GROUPS + 1, len(LETTERS), len(by_group["1"]["a"])), np.float32)
    for group in range(1, GROUPS + 1):
        for letter, values in by_group[str(group)].items():
            positions[group, LETTERS.index(letter)] = values
    return elements, positions
