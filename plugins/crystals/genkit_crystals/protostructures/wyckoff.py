"""Wyckoff positions of the 230 space groups, as arrays.

The numbers are those of pymatgen. A row is a Wyckoff letter: 0 is a, 25 is z, 26 is the letter A, which only group 47
has. Its files are read, as importing the module that has the tables takes seconds.
"""

import gzip
import json
import string
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import GenkitError

GROUPS = 230
LAST = (2, 15, 74, 142, 167, 194, 230)  # last space group of each crystal system
LETTERS = string.ascii_lowercase + "A"
ELEMENTS = 100
"""Largest atomic number that is represented."""


@dataclass(frozen=True)
class Tables:
    """Arrays whose first axis is the number of the space group; entry 0 is empty."""

    rows: np.ndarray
    """(231,) int, number of Wyckoff positions."""
    multiplicity: np.ndarray
    """(231, 27) int, atoms of an orbit in the conventional cell; 0 where there is no such row."""
    dof: np.ndarray
    """(231, 27) int, free coordinates of an orbit; 0 also where there is no such row."""
    relabellings: tuple[np.ndarray, ...]
    """By group, (m, 27) int, the m permutations of rows by another choice of origin and axes: row r becomes p[r]."""

    @property
    def exists(self) -> np.ndarray:
        """(231, 27) bool, which rows there are."""
        return self.multiplicity > 0

    @property
    def fixed(self) -> np.ndarray:
        """(231, 27) bool, rows without a free coordinate: at most one orbit may sit there."""
        return self.exists & (self.dof == 0)


def _read(name: str) -> dict[str, Any]:
    """One of pymatgen's files, by the number of the space group."""
    try:
        spec = find_spec("pymatgen.analysis.prototypes")
        (folder,) = (spec and spec.submodule_search_locations) or [""]
        with gzip.open(Path(folder) / f"wyckoff-position-{name}.json.gz", "rt") as file:
            return json.load(file)
    except (ImportError, OSError) as error:
        raise GenkitError(
            "the plugin crystals needs a pymatgen with the tables of pymatgen.analysis.prototypes; "
            "python -m pip install --upgrade pymatgen"
        ) from error


@cache
def tables() -> Tables:
    """The tables of all groups."""
    multiplicities, parameters, relabelled = (_read(name) for name in ("multiplicities", "params", "relabelings"))
    multiplicity = np.zeros((GROUPS + 1, len(LETTERS)), np.int32)
    dof, relabellings = np.zeros_like(multiplicity), [np.arange(len(LETTERS))[None]]
    for group in range(1, GROUPS + 1):
        for table, source in ((multiplicity, multiplicities), (dof, parameters)):
            for letter, value in source[str(group)].items():
                table[group, LETTERS.index(letter)] = int(value)
        permutations = []
        for letters in relabelled[str(group)]:
            p = np.arange(len(LETTERS))
            for old, new in letters.items():
                p[LETTERS.index(chr(int(old)))] = LETTERS.index(new)
            permutations.append(p)
        relabellings.append(np.array(permutations))
    return Tables((multiplicity > 0).sum(1), multiplicity, dof, tuple(relabellings))


@cache
def pearson(group: int) -> str:
    """Family and centring of a space group, the first two letters of the Pearson symbol; A and B count as C."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    families = ((2, "a"), (15, "m"), (74, "o"), (142, "t"), (194, "h"), (230, "c"))
    centring = sg_symbol_from_int_number(group)[0]
    return next(f for last, f in families if group <= last) + ("C" if centring in "AB" else centring)


@cache
def symbol(group: int) -> str:
    """Hermann-Mauguin symbol of a space group."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    return sg_symbol_from_int_number(group)
