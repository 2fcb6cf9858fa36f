"""How often values occur in some crystals: over all rows, and by space group, row and element."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genkit.tree import register_dataclass
from genkit_crystals.chains.layout import Layout, Matrices, encode
from genkit_crystals.protostructures import ELEMENTS, GROUPS, LETTERS, Protostructure


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

    def log(self, smoothing: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of x0 and x1, (231, 27, ...), as if each group had `smoothing` crystals more, whose values
        are those of all rows (of x1 those of all rows of the element)."""
        logs = []
        for count in (self.x0, self.x1):
            every = count.sum((0, 1), dtype=np.float64)
            every = every + 0.5 / every.shape[-1]
            every /= every.sum(-1, keepdims=True)
            law = (count + smoothing * every) / (count.sum(-1, keepdims=True) + smoothing)
            logs.append(np.log(law).astype(np.float32))
        return logs[0], logs[1]
