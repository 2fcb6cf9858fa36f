"""What is held of items that are drawn: a motif of molecules, their composition, letters of sequences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
from scipy.linalg import block_diag

from genkit.discrete import ANY_ORDER
from genkit.errors import UsageError
from genkit_molecules.chemistry import LARGEST, pairs
from genkit_molecules.items import Graphs, Layout
from genkit_molecules.models.discrete import DISCRETE, Discrete


class Constraint(Protocol):
    """Sites that are given, by the size of an item, in one of several forms."""

    @property
    def forms(self) -> int:
        """How many forms there are; each item has one of them, with equal probability."""
        ...

    def fits(self, size: int) -> bool:
        """Whether an item of this size can be so."""
        ...

    def known(self, size: int, form: int = 0) -> np.ndarray:
        """(D,) int, the values of its sites, K where one is free."""
        ...


@dataclass(frozen=True)
class Motif:
    """Molecules that hold given atoms with all bonds between them, and are of given elements.

    The atoms of a graph are exchangeable, so the motif is its first ones. Molecules that hold it in k places are
    therefore k times as frequent as in the model's law. An aromatic one is held in each of its F Kekule forms equally
    often: the law is the mean over f of p(x | the motif in form f). Atoms beside it take the elements of a composition
    in any order.
    """

    classes: int
    """K"""
    kinds: np.ndarray
    """(m,) int, of its atoms; K is any element"""
    parts: tuple[np.ndarray, ...]
    """(F_i, m_i, m_i) int, orders between the atoms of each piece in each of its forms"""
    closed: np.ndarray
    """(m,) bool, atoms that have no other bonds"""
    others: np.ndarray | None
    """kinds of all atoms that are not in the motif, if the composition is given"""

    @property
    def forms(self) -> int:
        """F, any form of one piece with any of another."""
        return prod(map(len, self.parts))

    def fits(self, size: int) -> bool:
        """Whether there are atoms enough, or exactly as many as the composition says."""
        rest = size - len(self.kinds)
        return rest >= 0 if self.others is None else rest == len(self.others)

    def known(self, size: int, form: int = 0) -> np.ndarray:
        """Values of the sites of a graph of so many atoms."""
        m, k = len(self.kinds), self.classes
        atoms, bonds = np.full(size, k), np.full((size, size), k)
        which = np.unravel_index(form, [len(part) for part in self.parts])
        each = (part[i] for part, i in zip(self.parts, which, strict=True))
        held = np.asarray(block_diag(*each), int).reshape(m, m)
        may = (self.kinds == k)[:, None] & ~self.closed
        atoms[:m], bonds[:m, :m] = self.kinds, np.where((may | may.T) & (held == 0), k, held)
        atoms[m:] = k if self.others is None else self.others
        bonds[:m, m:] = np.where(self.closed, 0, k)[:, None]
        return np.concatenate([atoms, bonds[tuple(pairs(size).T)]])


@dataclass(frozen=True)
class Places:
    """Sequences with given letters."""

    classes: int
    letters: dict[int, int]
    """by place, from 0"""

    @property
    def forms(self) -> int:
        """One."""
        return 1

    def fits(self, size: int) -> bool:
        """Whether it reaches the last of them."""
        return size > max(self.letters)

    def known(self, size: int, form: int = 0) -> np.ndarray:
        """Letters of a sequence of this length."""
        row = np.full(size, self.classes)
        row[list(self.letters)] = list(self.letters.values())
        return row


def motif(layout: Graphs, pieces: Sequence[str], composition: str = "") -> Motif:
    """Of SMILES of pieces without a bond between them, and of a composition like C6N1, of all atoms but hydrogen.

    "*" is an atom of any element and further bonds; the other atoms of a piece that has one have no further bonds.
    """
    from genkit_molecules.chemistry import motif_of

    k, elements = layout.classes, (*layout.elements, "*")
    found = [motif_of(piece) for piece in pieces]
    kinds = [kind for own, _ in found for kind in own]
    if strange := sorted(set(kinds) - set(elements)):
        raise UsageError(f"{' '.join(pieces)} has {strange[0]}; the model knows {' '.join(layout.elements)}")
    free = np.array([kind == "*" for kind in kinds], bool)
    closed = np.array([kind != "*" and "*" in own for own, _ in found for kind in own], bool)
    others = None
    if composition:
        if free.any():
            raise UsageError("composition: it leaves open which element an atom * is; give a motif without")
        counts = _counted(composition, layout.elements)
        counts.subtract(kinds)
        if lacks := [kind for kind, number in counts.items() if number < 0]:
            raise UsageError(f"{' '.join(pieces)} has more {lacks[0]} than {composition}")
        others = np.array([elements.index(kind) for kind in counts.elements()], int)
    numbers = np.array([k if kind == "*" else elements.index(kind) for kind in kinds], int)
    return Motif(k, numbers, tuple(forms for _, forms in found), closed, others)


def _counted(composition: str, elements: Sequence[str]) -> Counter:
    """Numbers by element; a charged one stands in brackets, [N+]1."""
    words = re.findall(r"(\[[A-Z][a-z]?[+-]\d?\]|[A-Z][a-z]?)(\d*)", composition)
    if not words or "".join(a + b for a, b in words) != composition:
        raise UsageError(f"composition {composition!r}; expected elements and numbers, as C6N1")
    counts = Counter()
    for name, number in words:
        name = name.strip("[]")
        if name not in elements:
            hint = ", hydrogen being implied" if name == "H" else ""
            raise UsageError(f"composition {composition}: the model knows {' '.join(elements)}, not {name}{hint}")
        counts[name] += int(number or 1)
    if counts.total() > LARGEST:
        raise UsageError(f"composition {composition} has {counts.total():,} atoms; expected at most {LARGEST:,}")
    return counts


def places(alphabet: str, words: Sequence[str]) -> Places:
    """Of words as 3:K or 3:KLE, letters from the third place on."""
    letters: dict[int, int] = {}
    for word in words:
        found = re.fullmatch(r"([1-9]\d*):(\S+)", word)
        if not found:
            raise UsageError(f"fix {word!r}; expected a place from 1 and letters, as 3:K")
        for place, letter in enumerate(found[2].upper(), start=int(found[1]) - 1):
            if letter not in alphabet:
                raise UsageError(f"fix {word}: the model knows the letters {alphabet}, not {letter}")
            if letters.setdefault(place, alphabet.index(letter)) != alphabet.index(letter):
                raise UsageError(f"fix {' '.join(words)}: place {place + 1} has two letters")
    return Places(len(alphabet), letters)


def check_holds(discrete: Discrete) -> None:
    """Refuse a model that cannot be told sites."""
    if discrete.name in DISCRETE:
        raise UsageError(
            f"{discrete.name} noise changes sites and hides none; constraints need ardm or masks "
            "(masked, euler, flow, remasked)"
        )
    if discrete.ordered and discrete.orders != ANY_ORDER:
        raise UsageError("the model learned other orders of atoms and bonds; constraints need order=uniform")


def rows(constraint: Constraint, layout: Layout, size: np.ndarray, form: np.ndarray, width: int) -> np.ndarray:
    """What is given of items of these sizes and forms (B,): (B, D) int in rows of this width, K where free."""
    known = {}
    each = list(zip(size.tolist(), form.tolist(), strict=True))
    for n, k in set(each):
        known[n, k] = np.full(width, layout.classes)
        known[n, k][layout.places(n, width)] = constraint.known(n, k)
    return np.stack([known[one] for one in each])
