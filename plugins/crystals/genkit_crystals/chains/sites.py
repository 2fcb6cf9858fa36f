"""What sits on given Wyckoff positions: inpainting of crystals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genkit.discrete import Ancestral, Inpaint
from genkit.errors import UsageError
from genkit_crystals.chains.layout import Layout
from genkit_crystals.protostructures import LETTERS, numbers, symbol, tables

EXPECTED = "expected letter=element, such as a=Na; letter=2O for two orbits; letter=0 for an empty position"


@dataclass(frozen=True)
class Sites:
    """Given orbits of one space group; make it with `sites`."""

    group: int
    orbits: tuple[tuple[int, int, int], ...]
    """(row, atomic number, orbits); the number 0 for a row that is empty."""

    @property
    def elements(self) -> set[int]:
        """Atomic numbers."""
        return {z for _, z, _ in self.orbits if z}

    def check(self, most: int) -> None:
        """Refuse more than `most` orbits of one element on one position with freedom."""
        if n := max((n for row, _, n in self.orbits if tables().dof[self.group, row] and n > most), default=0):
            raise UsageError(f"sites: {n} orbits of one element on one position; the model knows at most {most}")

    def held(self, sampler: Ancestral, slots: Layout) -> Inpaint:
        """The sampler with these sites given; exact under resampling."""
        known = tuple(np.zeros(shape[1:], np.int32) for shape in slots.shape(1))
        fixed = tuple(np.zeros(a.shape, bool) for a in known)
        self.check(sampler.process[1].states - 1)
        for row, z, n in self.orbits:
            free = bool(tables().dof[self.group, row])
            part = slots.free if free else slots.fixed
            i = int(np.flatnonzero(part.real[self.group] & (part.row[self.group] == row))[0])
            # an empty position with freedom has none of all elements
            place = (i,) if not free else (i, slice(None) if z == 0 else z - 1)
            known[free][place], fixed[free][place] = (0 if z == 0 else n) if free else z, True
        return Inpaint(sampler, known, fixed, weigh=True)


def sites(group: int, texts: Sequence[str]) -> Sites:
    """Sites of a space group from texts such as a=Na, i=2O, b=0; raises UsageError."""
    t, found = tables(), {}
    last = t.rows[group]
    for text in texts:
        match = re.fullmatch(r"([A-Za-z])=(?:([1-9]\d*|)([A-Z][a-z]?)|0)", text)
        if match is None:
            raise UsageError(f"sites: {text!r}; {EXPECTED}")
        letter, count, element = match.groups()
        row, n = LETTERS.index(letter) if letter in LETTERS else last, int(count or 1)
        if row >= last:
            raise UsageError(
                f"sites: {text!r}; space group {group} {symbol(group)} has the positions a to {LETTERS[last - 1]}"
            )
        if element is not None and element not in numbers():
            raise UsageError(f"sites: {text!r}; no element is called {element}")
        z = 0 if element is None else numbers()[element]
        if n > 1 and t.dof[group, row] == 0:
            raise UsageError(f"sites: {text!r}; position {letter} has no freedom and holds one orbit")
        alone = t.dof[group, row] == 0 or z == 0
        if any(r == row and (alone or other in (0, z)) for r, other in found):
            raise UsageError(f"sites: {text!r}; position {letter} is given twice")
        found[row, z] = n
    return Sites(group, tuple((row, z, n) for (row, z), n in found.items()))
