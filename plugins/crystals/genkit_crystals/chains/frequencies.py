"""How often values occur in some crystals: over all rows, and by space group, row and element."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genkit.tree import register_dataclass
from genkit_crystals.chains.layout import Layout, Matrices, encode
from genkit_crystals.protostructures import ELEMENTS, GROUPS, LETTERS, Protostructure, tables

SMOOTHING = 10.0  # crystals that the law of all rows is worth in each group; of 1 to 100 the likeliest for new crystals


@register_dataclass
@dataclass(frozen=True)
class Frequencies:
    """Over all rows: x0 (E + 1,), x1 (classes,)."""

    x0: np.ndarray
    x1: np.ndarray

    @classmethod
    def of(cls, data: Matrices, slots: Layout, classes: int) -> "Frequencies":
        """Count the real sites."""
        real0, real1 = (np.asarray(m) for m in slots.mask(data.group))
        x0 = np.bincount(data.x0[real0], minlength=ELEMENTS + 1)
        x1 = np.bincount(data.x1[real1[..., 0]].ravel(), minlength=classes)
        return cls(x0 / max(x0.sum(), 1), x1 / max(x1.sum(), 1))


@dataclass(frozen=True)
class RowFrequencies:
    """Of each variable by itself: what a predictor knows that sees no correlation.

    All equivalent assignments of a crystal count, with weights that sum to 1.
    """

    crystals: np.ndarray
    """(231,), crystals of a space group."""
    x0: np.ndarray
    """(231, 27, E + 1), of these those with that element on a row without freedom, 0 for none."""
    x1: np.ndarray
    """(231, 27, E, classes), those with that many orbits of an element on a row with freedom."""

    @classmethod
    def of(cls, crystals: Sequence[Protostructure], slots: Layout, classes: int) -> "RowFrequencies":
        """Count."""
        images = [one.images() for one in crystals]
        data = encode([image for some in images for image in some], slots, classes)
        weight = np.array([1 / len(some) for some in images for _ in some])
        total = np.bincount(data.group, weight, GROUPS + 1)
        x0 = np.zeros((GROUPS + 1, len(LETTERS), ELEMENTS + 1), np.float32)
        x1 = np.zeros((GROUPS + 1, len(LETTERS), ELEMENTS, classes), np.float32)
        for part, x, count in ((slots.fixed, data.x0, x0), (slots.free, data.x1, x1)):
            at = np.nonzero(x)  # most are zero: what is left of the crystals, afterwards
            group = data.group[at[0]]
            np.add.at(count, (group, np.asarray(part.row)[group, at[1]], *at[2:], x[at]), weight[at[0]])
            g, i = np.nonzero(part.real)
            rest = count[g, part.row[g, i]]
            rest[..., 0] = total[g].reshape(-1, *[1] * (rest.ndim - 2)) - rest.sum(-1)
            count[g, part.row[g, i]] = rest
        return cls(total, x0, x1)

    def log(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of x0 and x1, (231, 27, ...), as if each group had `SMOOTHING` crystals more, whose values
        are those of all rows (of x1 those of all rows of the element)."""
        return _log(self.x0, self.every[0]), _log(self.x1, self.every[1])

    @cached_property
    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Law of the values over all rows: of x0 (E + 1,), of x1 by element (E, classes)."""
        counts = [count.sum((0, 1), dtype=np.float64) for count in (self.x0, self.x1)]
        first, second = (count + 0.5 / count.shape[-1] for count in counts)
        return first / first.sum(), second / second.sum(-1, keepdims=True)

    def others(self, groups: np.ndarray, own: Sequence[np.ndarray], slots: Layout) -> tuple[np.ndarray, np.ndarray]:
        """What `log` would say of crystals, had each of them not been counted: (n, R0, E + 1) and (n, R1, E, classes).

        The law of all rows stays. A network that learns what to add to the frequencies must not find the answer in
        them: in small groups a crystal is a good part of what was counted.

        Args:
            groups: (n,) int.
            own: `shares` of each.
            slots: where the rows lie.
        """
        x0, x1 = self.x0[groups], self.x1[groups]
        kept = tables().fixed[groups]
        x0[..., 0] -= kept
        x1[..., 0] -= ~kept[..., None]
        i = np.repeat(np.arange(len(groups)), [len(one) for one in own])
        row, z, count = np.concatenate(own)[:, :3].T.astype(int)
        weight = np.concatenate(own)[:, 3]
        fixed = kept[i, row]
        f, v = np.flatnonzero(fixed), np.flatnonzero(~fixed)
        for places, change in ((z, -weight), (0 * z, weight)):
            np.add.at(x0, (i[f], row[f], places[f]), change[f])
        for places, change in ((count, -weight), (0 * count, weight)):
            np.add.at(x1, (i[v], row[v], z[v] - 1, places[v]), change[v])
        at = np.arange(len(groups))[:, None]
        parts = (x0, self.every[0], slots.fixed), (x1, self.every[1], slots.free)
        first, second = (_log(np.maximum(x[at, np.asarray(p.row)[groups]], 0), every) for x, every, p in parts)
        return first, second


def shares(crystal: Protostructure) -> np.ndarray:
    """(k, 4): rows, elements, numbers of orbits of its equivalent assignments, each with the share of one of them."""
    images = crystal.images()
    return np.array([(*orbit, 1 / len(images)) for image in images for orbit in image.orbits])


def _log(count: np.ndarray, every: np.ndarray) -> np.ndarray:
    law = (count + SMOOTHING * every) / (count.sum(-1, keepdims=True) + SMOOTHING)
    return np.log(law).astype(np.float32)
