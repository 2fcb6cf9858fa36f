"""Molecular graphs as rows of sites: n atoms, then the n (n - 1) / 2 pairs of atoms, row by row of the upper triangle.

An atom is the index of its element in an alphabet, which has charged ones apart, as N+ and O-; a pair is the order of
its bond, 0 (none) to 3. Hydrogen atoms are implied by free valence, unless the alphabet has H: then none is. Hidden
sites hold the mask symbol K = max(elements, BONDS).
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from rdkit import Chem

from genkit.errors import UsageError

BONDS = 4  # none, single, double, triple
VALENCE = {"H": 1, "B": 3, "C": 4, "N": 3, "O": 2, "F": 1, "Si": 4, "P": 5, "S": 6, "Cl": 1, "Br": 1, "I": 1}


@cache
def symbol_and_charge(element: str) -> tuple[str, int]:
    """("N", 1) of N+, ("O", -2) of O-2, ("C", 0) of C. Raises UsageError for another form or an unknown symbol."""
    found = re.fullmatch(r"([A-Z][a-z]?)(?:([+-])(\d?))?", element)
    if not found or found[1] not in VALENCE:
        raise UsageError(f"element {element!r}; expected one of {' '.join(VALENCE)}, with a charge as in N+ or O-")
    return found[1], int(f"{found[2]}{found[3] or 1}") if found[2] else 0


def named_with_charge(symbol: str, charge: int) -> str:
    """N+ of ("N", 1)."""
    return f"{symbol}{'+' if charge > 0 else '-'}{abs(charge) if abs(charge) > 1 else ''}" if charge else symbol


@cache
def valence(element: str) -> int:
    """Largest number of bonds; of a charged element that of the neutral one with as many electrons, as in RDKit."""
    symbol, charge = symbol_and_charge(element)
    table = Chem.GetPeriodicTable()
    return VALENCE[symbol] if not charge else table.GetDefaultValence(table.GetAtomicNumber(symbol) - charge)


@cache
def pairs(n: int) -> np.ndarray:
    """(n (n - 1) / 2, 2) int, the atoms of each pair."""
    found = np.stack(np.triu_indices(n, 1), 1)
    found.flags.writeable = False
    return found


def sites(n: int) -> int:
    """D, number of sites of n atoms."""
    return n + n * (n - 1) // 2


def atoms(d: int) -> int:
    """n, number of atoms of D sites."""
    n = round(((8 * d + 1) ** 0.5 - 1) / 2)
    if sites(n) != d:
        raise UsageError(f"{d} sites are no graph; expected n (n + 1) / 2, such as 3, 6, 10")
    return n


def places_in(n: int, width: int) -> np.ndarray:
    """(D,) int, the places of the sites of n atoms in rows for graphs of so many."""
    place = np.zeros((width, width), int)
    place[tuple(pairs(width).T)] = width + np.arange(len(pairs(width)))
    return np.concatenate([np.arange(n), place[tuple(pairs(n).T)]])


def classes(elements: int) -> int:
    """K, number of classes of a site and the index of the mask symbol."""
    return max(elements, BONDS)


def allowed(n: int, elements: int) -> np.ndarray | None:
    """(D, K) bool, the classes of each site; None where atoms and bonds have equally many."""
    if elements == BONDS:
        return None
    number = np.where(np.arange(sites(n)) < n, elements, BONDS)
    return np.arange(classes(elements)) < number[:, None]


@cache
def relabel(n: int) -> np.ndarray:
    """(n!, D) int: under permutation g of the atoms site i of a graph becomes site [g, i]."""
    from itertools import permutations

    g = np.array(list(permutations(range(n))), np.int32).reshape(-1, n)
    place = np.zeros((n, n), np.int32)
    place[tuple(pairs(n).T)] = place[tuple(pairs(n).T[::-1])] = n + np.arange(len(pairs(n)))
    moved = place[g[:, pairs(n)[:, 0]], g[:, pairs(n)[:, 1]]]
    found = np.concatenate([g, moved], 1)
    found.flags.writeable = False
    return found
