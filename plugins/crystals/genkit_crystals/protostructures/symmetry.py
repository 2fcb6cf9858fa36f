"""The true symmetry of a protostructure: that of a structure with its sites and random free numbers.

A space group is a claim about the sites: one atom on 4a of group 216 makes a lattice of group 225. What a model draws
may claim too little; what a crystal is called goes by what it has.
"""

import string
from functools import cache
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit_crystals.protostructures.elements import symbols
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.structures import protostructure
from genkit_crystals.protostructures.wyckoff import LETTERS

SYMPREC = 0.01  # A: coordinates are exact, a wider tolerance only finds symmetries that are not there
LARGEST = 400  # atoms; beyond them the claim is believed
TRIES = 3


def settled(crystal: Protostructure, seed: int = 0) -> Protostructure:
    """The crystal by its true space group: itself, but where the sites have more symmetry than it claims.

    One with more than 400 atoms, or whose atoms always come too close for spglib, is returned as it is.
    """
    if crystal.atoms > LARGEST:
        return crystal
    last = ""
    for i in range(TRIES):  # random numbers that happen to make a symmetry do not do so twice
        try:
            found = protostructure(generic(crystal, np.random.default_rng((seed, i))), SYMPREC)
        except DataError:
            continue
        if found.label == crystal.label:
            return crystal
        if found.label == last:
            return found
        last = found.label
    return crystal


def generic(crystal: Protostructure, rng: np.random.Generator) -> Any:
    """A pymatgen Structure with random free coordinates and a random roomy cell; nothing keeps atoms apart."""
    from pymatgen.core import Lattice, Structure

    species, places = [], []
    for row, z, count in crystal.orbits:
        for _ in range(count):
            point = rng.random(3)
            places += [operation.operate(point) for operation in operations(crystal.group)[row]]
            species += [symbols()[z]] * (len(places) - len(species))
    return Structure(Lattice.from_parameters(*_cell(crystal, rng)), species, np.array(places) % 1.0)


@cache
def operations(group: int) -> dict[int, tuple[Any, ...]]:
    """By row, the maps of a point of the unit cell to the atoms of an orbit, in the setting of the labels."""
    from pyxtal.symmetry import Group

    letters = LETTERS if group == 47 else string.ascii_lowercase
    return {letters.index(one.letter): tuple(one.ops) for one in Group(group).Wyckoff_positions}


def _cell(crystal: Protostructure, rng: np.random.Generator) -> tuple[float, ...]:
    """(a, b, c, alpha, beta, gamma) of the crystal family, in A and degrees."""
    # lengths and angles well apart: the labels take what is equal within five degrees for equal
    a, b, c = 5.0 * crystal.atoms ** (1 / 3) * rng.permutation([0.7, 1.0, 1.5]) * rng.uniform(0.93, 1.07, 3)
    alpha, beta, gamma = np.array([74, 105, 82]) + rng.uniform(-2, 2, 3)
    group = crystal.group
    if group > 194:
        return a, a, a, 90, 90, 90
    if group > 142:
        return a, a, c, 90, 90, 120
    if group > 74:
        return a, a, c, 90, 90, 90
    if group > 15:
        return a, b, c, 90, 90, 90
    return (a, b, c, 90, beta, 90) if group > 2 else (a, b, c, alpha, beta, gamma)
