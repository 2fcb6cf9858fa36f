"""Space groups as files declare them: symbols, Hall symbols and numbers, in the settings that spglib knows.

A symbol is no setting: R-3m has hexagonal and rhombohedral axes, Fd-3m two origins. What it leaves open is narrowed
down by the cell, whose metric the operations must keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from genkit.errors import DataError

HALLS = 530  # settings
SUFFIX = {"s": "1", "z": "2", "r": "R", "h": "H"}  # how ICSD and others mark origin and axes behind a symbol
METRIC = 0.02  # by how much an operation may change a cell, relative to its metric
GLIDES = "abc"  # Cmce was written Cmca or Cmcb until 1992


@dataclass(frozen=True)
class Setting:
    """One of the 530 settings of space groups."""

    hall: int
    """Its number, 1..530."""
    group: int
    choice: str
    """Axes and origin, as spglib writes them: b1, H, R, 1, 2cab, ..."""
    symbol: str
    """Hall symbol."""

    @property
    def standard(self) -> bool:
        """Whether a number alone may mean it: standard axes, either origin, hexagonal or rhombohedral axes."""
        return self.choice in ("", "b", "b1", "1", "2", "H", "R")


@dataclass(frozen=True)
class Declared:
    """What a file says of its space group; each is None or empty where it says nothing."""

    number: int | None
    symbol: str
    hall: str

    @property
    def name(self) -> str:
        """As the file writes it."""
        return self.symbol or self.hall or str(self.number)

    def settings(self) -> list[Setting]:
        """The settings that are meant; raises DataError for what is not understood or contradicts itself."""
        if self.hall and (found := _settings()[1].get(_plain(self.hall))):
            return self._of_number(found)
        if self.symbol and (found := _named(self.symbol)):
            return self._of_number(found)
        if self.symbol or self.hall:  # a number beside it would say less: it leaves the setting open
            raise DataError(f"space group {self.name!r} is not understood; correct it or give the symmetry operations")
        return [s for s in _settings()[0] if s.group == self.number and s.standard]

    def _of_number(self, found: list[Setting]) -> list[Setting]:
        own = [s for s in found if self.number in (None, s.group)]
        if not own:
            raise DataError(
                f"the space group is {self.name} and number {self.number}, but {self.name} is number "
                f"{found[0].group}; correct one of them"
            )
        return own

    @property
    def group(self) -> int | None:
        """Number of the space group where it is known."""
        if self.number is not None:
            return self.number
        groups = {s.group for s in _named(self.symbol)} if self.symbol else set()
        return groups.pop() if len(groups) == 1 else None


def keeping(found: list[Setting], metric: np.ndarray) -> list[Setting]:
    """Those whose operations keep the metric (3, 3) of a cell, that is G = R^T G R."""
    size = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    good = []
    for one in found:
        rotations = operations(one.hall)[0]
        moved = np.einsum("nij,ik,nkl->njl", rotations, metric, rotations)
        if (np.abs(moved - metric) < METRIC * size).all():
            good.append(one)
    return good


@cache
def operations(hall: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n, 3, 3) and translations (n, 3) of a setting, x' = R x + t."""
    import spglib

    found: Any = spglib.get_symmetry_from_database(hall)
    return found["rotations"].astype(float), found["translations"]


@cache
def order(group: int) -> int:
    """Rotations of a space group, the order of its point group."""
    return len(np.unique(operations(next(s.hall for s in _settings()[0] if s.group == group))[0], axis=0))


def group_of(rotations: np.ndarray, translations: np.ndarray, cell: np.ndarray) -> int | None:
    """Number of the space group that some operations form; None for no group."""
    import spglib

    found = spglib.get_spacegroup_type_from_symmetry(np.rint(rotations).astype("intc"), translations, cell, 1e-3)
    return None if found is None else int(found.number)


def _named(symbol: str) -> list[Setting]:
    """Settings of a Hermann-Mauguin symbol, perhaps with a setting behind it: R -3 m :R, F d -3 m S."""
    symbol, _, wanted = symbol.partition(":")
    names, plain = _settings()[2], _plain(symbol)
    if plain not in names and plain[-1:] in (*SUFFIX, "1", "2"):
        plain, wanted = plain[:-1], wanted or plain[-1]
    wanted = SUFFIX.get(wanted.strip().lower(), wanted.strip())
    return [s for s in names.get(plain, []) if not wanted or s.choice == wanted or s.choice.startswith(wanted)]


@cache
def _settings() -> tuple[list[Setting], dict[str, list[Setting]], dict[str, list[Setting]]]:
    """All settings, and those by Hall symbol and by Hermann-Mauguin symbol."""
    import spglib

    every, halls, names = [], {}, {}
    for hall in range(1, HALLS + 1):
        kind: Any = spglib.get_spacegroup_type(hall)
        one = Setting(hall, kind.number, kind.choice, kind.hall_symbol)
        every.append(one)
        halls.setdefault(_plain(kind.hall_symbol), []).append(one)
        own = kind.international.rpartition("=")[2]  # before it stands the name that all settings share
        spelled = {own, kind.international_full}
        if kind.number >= 200:
            spelled |= {name.replace("-3", "3") for name in spelled}  # Fm3m until 1983
        if 3 <= kind.number <= 15:
            spelled.add(re.sub(r" 1(?= |$)", "", own))
        spelled |= {name.replace("e", glide) for name in spelled for glide in GLIDES}
        for name in {_plain(name) for name in spelled}:
            names.setdefault(name, []).append(one)
    return every, halls, names


def _plain(symbol: str) -> str:
    """Without blanks, underscores, brackets and cases."""
    return re.sub(r"[\s_()]", "", symbol).lower()
