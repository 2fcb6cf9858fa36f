"""Protostructures as arrays: rows without freedom hold one element or none, the others a count of each element.

x = (x0, x1): x0 (n, R0) int32 in 0..E, 0 for an empty row; x1 (n, R1, E) int32, number of orbits of element e + 1.
The rows of a space group lie in the order of their letters; slots that a group does not fill are masked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import DataError
from genkit.tree import register_dataclass
from genkit_crystals.protostructures import ELEMENTS, GROUPS, Protostructure, tables

Array = Any


@register_dataclass
@dataclass(frozen=True)
class Part:
    """Slots of one kind of rows, by space group: arrays (231, R)."""

    row: Array
    """Wyckoff letter as a number; 0 where the slot is empty."""
    dof: Array
    multiplicity: Array
    real: Array
    """Bool: which slots there are."""

    def at(self, group: Array) -> "Part":
        """The slots of some crystals, (n, R)."""
        return jax.tree.map(lambda a: jnp.asarray(a)[group], self)


@register_dataclass
@dataclass(frozen=True)
class Layout:
    """Where the rows of each space group lie in x0 and x1; make it with `layout`."""

    fixed: Part
    free: Part
    every: Part
    """All rows in the order of their letters: slot r is row r."""
    slot: Array
    """(231, R), place of each row among the slots of x0 and, behind them, of x1."""
    moves: tuple[Array, Array]
    """Relabellings as gathers of slots, (231, 48, R) each; every one of a group equally often."""

    def mask(self, group: Array) -> tuple[Array, Array]:
        """Which sites are real, of the shapes of x (with one axis for all elements)."""
        return self.fixed.at(group).real, self.free.at(group).real[..., None]

    def sites(self, group: Array) -> tuple[Array, Array]:
        """Numbers of real sites, (n,): n0 and E n1."""
        real = self.mask(group)
        return real[0].sum(1), ELEMENTS * real[1].sum((1, 2))

    def shape(self, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of x for n crystals."""
        return (n, self.fixed.row.shape[1]), (n, self.free.row.shape[1], ELEMENTS)

    def relabelled(self, key: Array, group: Array, x: tuple[Array, Array]) -> tuple[Array, Array]:
        """A uniformly drawn equivalent assignment of each crystal."""
        which = jax.random.randint(key, group.shape, 0, self.moves[0].shape[1])
        first, second = (jnp.asarray(m)[group, which] for m in self.moves)
        return jnp.take_along_axis(x[0], first, 1), jnp.take_along_axis(x[1], second[..., None], 1)


def layout(groups: Iterable[int] | None = None) -> Layout:
    """The narrowest layout that holds some space groups, all by default."""
    t = tables()
    groups = sorted({int(g) for g in (range(1, GROUPS + 1) if groups is None else groups)})
    parts, moves = [], []
    for kind in (t.fixed, t.exists & ~t.fixed, t.exists):
        width = max(1, int(kind[groups].sum(1).max()))
        row = np.zeros((GROUPS + 1, width), np.int32)
        real, move = np.zeros(row.shape, bool), np.tile(np.arange(width, dtype=np.int32), (GROUPS + 1, 48, 1))
        for group in groups:
            rows = np.flatnonzero(kind[group])
            row[group, : len(rows)], real[group, : len(rows)] = rows, True
            place = {r: i for i, r in enumerate(rows)}
            for i in range(48):
                p = t.relabellings[group][i % len(t.relabellings[group])]
                move[group, i, : len(rows)] = [place[p[r]] for r in rows]
        at = np.arange(GROUPS + 1)[:, None], row
        parts.append(Part(row, np.where(real, t.dof[at], 0), np.where(real, t.multiplicity[at], 0), real))
        moves.append(move)
    fixed, free, every = parts
    slot, width = np.zeros(every.row.shape, np.int32), fixed.row.shape[1]
    for part, first in ((fixed, 0), (free, width)):
        g, i = np.nonzero(part.real)
        slot[g, part.row[g, i]] = first + i
    return Layout(fixed, free, every, slot, (moves[0], moves[1]))


@dataclass(frozen=True)
class Matrices:
    """Crystals as arrays: group (n,), x0 (n, R0), x1 (n, R1, E)."""

    group: np.ndarray
    x0: np.ndarray
    x1: np.ndarray

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, rows: Any) -> dict[str, Any]:
        """Some rows, as `genkit.data` asks for them."""
        return {"group": self.group[rows], "x": (self.x0[rows].astype(np.int32), self.x1[rows].astype(np.int32))}

    take = __getitem__


def encode(crystals: Sequence[Protostructure], slots: Layout, classes: int | None = None) -> Matrices:
    """Arrays of crystals in their own assignment of letters.

    Raises DataError for a crystal of a group that the layout leaves out, or with `classes` or more orbits of one
    element on one letter.
    """
    (_, r0), (_, r1, e) = slots.shape(0)
    group = np.array([c.group for c in crystals], np.int32)
    x0, x1 = np.zeros((len(group), r0), np.uint8), np.zeros((len(group), r1, e), np.uint8)
    t = tables()
    place = np.zeros((GROUPS + 1, len(t.dof[0])), np.int32)
    for part in (slots.fixed, slots.free):
        g, i = np.nonzero(part.real)
        place[g, part.row[g, i]] = i
    known = np.asarray(slots.free.real.any(1))
    for n, crystal in enumerate(crystals):
        if not known[crystal.group]:
            raise DataError(f"{crystal.label}: space group {crystal.group} is not among those of the layout")
        for row, z, count in crystal.orbits:
            if t.dof[crystal.group, row] == 0:
                x0[n, place[crystal.group, row]] = z
            elif classes is not None and count >= classes:
                raise DataError(f"{crystal.label}: {count} orbits of one element on one letter; at most {classes - 1}")
            else:
                x1[n, place[crystal.group, row], z - 1] = count
    return Matrices(group, x0, x1)


def decode(group: Array, x: tuple[Array, Array], slots: Layout) -> list[Protostructure | None]:
    """Crystals of arrays; None for one without atoms."""
    group, x0, x1 = (np.asarray(a) for a in (group, *x))
    orbits: list[list[tuple[int, int, int]]] = [[] for _ in group]
    for n, i in np.argwhere((x0 > 0) & slots.fixed.real[group]):
        orbits[n].append((int(slots.fixed.row[group[n], i]), int(x0[n, i]), 1))
    for n, i, e in np.argwhere((x1 > 0) & slots.free.real[group][..., None]):
        orbits[n].append((int(slots.free.row[group[n], i]), int(e) + 1, int(x1[n, i, e])))
    return [Protostructure.of(int(g), one) if one else None for g, one in zip(group, orbits, strict=True)]
