"""Crystals drawn without a network, against which one is measured."""

from collections.abc import Sequence

import numpy as np

from genkit_crystals.chains import Drawn, Frequencies, Layout, Matrices, RowFrequencies, decode
from genkit_crystals.protostructures import ELEMENTS, Protostructure


def marginals(rng: np.random.Generator, groups: np.ndarray, slots: Layout, frequencies: Frequencies) -> Drawn:
    """Every variable from the frequency of its values over all rows: the noise of the process "marginal"."""
    (n, r0), (_, r1, e) = slots.shape(len(groups))
    x0 = rng.choice(len(frequencies.x0), (n, r0), p=_safe(frequencies.x0))
    x1 = rng.choice(len(frequencies.x1), (n, r1, e), p=_safe(frequencies.x1))
    return Drawn(decode(groups, (x0, x1), slots))


def tables(rng: np.random.Generator, groups: np.ndarray, slots: Layout, rows: RowFrequencies) -> Drawn:
    """Every variable from the frequency of its values in that group and row, and of that element.

    What a network knows that sees no correlation.
    """
    x = []
    for part, count in ((slots.fixed, rows.x0), (slots.free, rows.x1)):
        one = np.zeros((len(groups), *part.row.shape[1:], *count.shape[2:-1]), int)
        for group in np.unique(groups):
            own = np.flatnonzero(groups == group)
            law = np.cumsum(count[group, np.asarray(part.row)[group]], -1) / rows.crystals[group]
            u = rng.random((len(own), *law.shape[:-1], 1))
            one[own] = (u > law).sum(-1).clip(max=law.shape[-1] - 1)
        x.append(one)
    return Drawn(decode(groups, (x[0], x[1]), slots))


def templates(rng: np.random.Generator, groups: np.ndarray, crystals: Sequence[Protostructure]) -> Drawn:
    """A crystal of the group with each element replaced by a random other, by the frequency of elements in the data."""
    counts = np.bincount([z for c in crystals for z in c.composition], minlength=ELEMENTS + 1)
    by_group: dict[int, list[Protostructure]] = {}
    for one in crystals:
        by_group.setdefault(one.group, []).append(one)
    drawn: list[Protostructure | None] = []
    for group in groups:
        some = by_group[int(group)]
        one = some[rng.integers(len(some))]
        kinds = list(one.composition)
        new = rng.choice(len(counts), len(kinds), replace=False, p=counts / counts.sum())
        drawn.append(one.with_elements(dict(zip(kinds, map(int, new), strict=True))))
    return Drawn(drawn)


def _safe(p: np.ndarray) -> np.ndarray:
    """A law also where the data have no row of this kind."""
    return p if p.any() else np.eye(len(p))[0]


def histogram(data: Matrices) -> np.ndarray:
    """Frequency of the space groups, (231,)."""
    return np.bincount(data.group, minlength=231) / len(data)
