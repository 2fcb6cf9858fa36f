"""What data sets of crystals return, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit_crystals.protostructures import Protostructure, Reject

ENERGY = "energy"
ENERGIES = ("e_form_per_atom_wbm", "formation_energy_per_atom", "e_form_per_atom", "energy_per_atom")


class NoCrystals(DataError):
    """All that was read was refused; `data` has the reasons."""

    def __init__(self, data: Crystals):
        self.data = data
        some = "; ".join(f"{one.place}: {one.reason}" for one in data.rejects[:3])
        more = f"; and {len(data.rejects) - 3} more" if len(data.rejects) > 3 else ""
        super().__init__(
            f"no crystals: {'all entries were refused: ' + some + more if some else 'the data set is empty'}"
        )


@dataclass(frozen=True)
class Crystals:
    """Distinct protostructures, sorted by label."""

    crystals: tuple[Protostructure, ...]
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    """(n,) numbers that stand beside them by name, NaN where there is none; `energy` is that of formation, or all there
    is, in eV per atom"""
    rejects: tuple[Reject, ...] = ()
    notes: tuple[Reject, ...] = ()
    """What reading changed or assumed"""
    target: str | None = None
    """The property that is asked for"""

    @classmethod
    def of(
        cls,
        crystals: Sequence[Protostructure],
        values: Sequence[Mapping[str, float]] | None = None,
        rejects: Sequence[Reject] = (),
        notes: Sequence[Reject] = (),
    ) -> Crystals:
        """Keep each label once, with the values of its lowest energy, those first read where there is none.

        The energy is that of `ENERGIES` which most of them have, the same for all: two are no one quantity.
        Raises `NoCrystals` where there is nothing to keep.
        """
        if not crystals:
            raise NoCrystals(cls((), {}, tuple(rejects), tuple(notes)))
        values = values or [{}] * len(crystals)
        own = max((*ENERGIES, ENERGY), key=lambda name: sum(name in found for found in values))
        kept: dict[str, tuple[float, Protostructure, Mapping[str, float]]] = {}
        for one, found in zip(crystals, values, strict=True):
            energy = found.get(own, np.inf)
            if one.label not in kept or energy < kept[one.label][0]:
                kept[one.label] = energy, one.canonical, found
        rows = [kept[label] for label in sorted(kept)]
        names = dict.fromkeys(name for _, _, found in rows for name in found)
        properties = {name: np.array([found.get(name, np.nan) for *_, found in rows]) for name in names}
        properties[ENERGY] = np.array([energy if np.isfinite(energy) else np.nan for energy, *_ in rows])
        return cls(tuple(one for _, one, _ in rows), properties, tuple(rejects), tuple(notes))

    def with_target(self, name: str | None) -> Crystals:
        """The same with a property that is asked for; raises DataError where the data have none of that name."""
        if name is None:
            return self
        has = {k: int(np.isfinite(v).sum()) for k, v in self.properties.items()}
        if not has.get(name):
            known = ", ".join(f"{k} ({n})" for k, n in has.items() if n) or "none"
            raise DataError(f"no crystal has a number {name!r}; numbers of these data, and how many have them: {known}")
        return replace(self, target=name)

    def __len__(self) -> int:
        return len(self.crystals)

    @property
    def energies(self) -> np.ndarray:
        """(n,) formation energy in eV per atom; NaN where there is none."""
        return self.properties.get(ENERGY, np.full(len(self), np.nan))

    @property
    def most(self) -> int:
        """Largest number of orbits of one element on one letter."""
        return max(count for one in self.crystals for *_, count in one.orbits)

    @property
    def groups(self) -> np.ndarray:
        """Their space groups, sorted."""
        return np.unique([c.group for c in self.crystals])

    def statistics(self) -> list[dict[str, Any]]:
        """Of each property: how many crystals have it, least, mean and largest value."""
        rows = []
        for name, values in self.properties.items():
            some = values[np.isfinite(values)]
            if len(some):
                ends = {"least": some.min(), "mean": some.mean(), "largest": some.max()}
                rows.append({"property": name, "crystals": len(some), "of": len(values), **ends})
        return rows

    def some_groups(self, n: int, seed: int, known: np.ndarray) -> np.ndarray:
        """Space groups (n,) of random crystals, of those in known groups."""
        every = np.array([c.group for c in self.crystals], np.int32)
        return np.random.default_rng(seed).choice(every[np.isin(every, known)], n)

    def split(self, held: int, seed: int = 0) -> tuple[Crystals, Crystals]:
        """Train and held-out crystals, drawn by label; at most half are held out."""
        held = min(held, len(self) // 2)
        order = np.random.default_rng(seed).permutation(len(self))
        return self[np.sort(order[held:])], self[np.sort(order[:held])]

    def __getitem__(self, rows: np.ndarray) -> Crystals:
        some = {name: values[rows] for name, values in self.properties.items()}
        return Crystals(tuple(self.crystals[i] for i in rows), some, target=self.target)
