"""What data sets of crystals return, and how they are split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genkit.errors import DataError
from genkit_crystals.protostructures import Protostructure, Reject


@dataclass(frozen=True)
class Crystals:
    """Distinct protostructures, sorted by label."""

    crystals: tuple[Protostructure, ...]
    energies: np.ndarray
    """(n,) formation energy in eV per atom; NaN where there is none."""
    rejects: tuple[Reject, ...] = ()

    @classmethod
    def of(
        cls,
        crystals: Sequence[Protostructure],
        energies: Sequence[float] | None = None,
        rejects: Sequence[Reject] = (),
    ) -> "Crystals":
        """Keep each label once, with its lowest energy."""
        if not crystals:
            raise DataError("no crystals: the data set is empty")
        lowest: dict[str, tuple[Protostructure, float]] = {}
        for one, energy in zip(crystals, energies or [np.nan] * len(crystals), strict=True):
            kept = lowest.get(one.label)
            if kept is None or energy < kept[1]:
                lowest[one.label] = one.canonical, energy
        order = sorted(lowest)
        return cls(tuple(lowest[k][0] for k in order), np.array([lowest[k][1] for k in order]), tuple(rejects))

    def __len__(self) -> int:
        return len(self.crystals)

    @property
    def most(self) -> int:
        """Largest number of orbits of one element on one letter."""
        return max(count for one in self.crystals for *_, count in one.orbits)

    @property
    def groups(self) -> np.ndarray:
        """Their space groups, sorted."""
        return np.unique([c.group for c in self.crystals])

    def some_groups(self, n: int, seed: int, known: np.ndarray) -> np.ndarray:
        """Space groups (n,) of random crystals, of those in known groups."""
        every = np.array([c.group for c in self.crystals], np.int32)
        return np.random.default_rng(seed).choice(every[np.isin(every, known)], n)

    def split(self, held: int, seed: int = 0) -> tuple["Crystals", "Crystals"]:
        """Train and held-out crystals, drawn by label; at most half are held out."""
        held = min(held, len(self) // 2)
        order = np.random.default_rng(seed).permutation(len(self))
        return self[np.sort(order[held:])], self[np.sort(order[:held])]

    def __getitem__(self, rows: np.ndarray) -> "Crystals":
        return Crystals(tuple(self.crystals[i] for i in rows), self.energies[rows])
