"""Chemical elements by atomic number."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from genkit_crystals.protostructures.wyckoff import ELEMENTS


@cache
def symbols() -> tuple[str, ...]:
    """Chemical symbols by atomic number; entry 0 is empty."""
    from pymatgen.core import Element

    return ("", *(Element.from_Z(z).symbol for z in range(1, ELEMENTS + 1)))


@cache
def numbers() -> dict[str, int]:
    """Atomic number by chemical symbol, of all elements that there are; D and T are hydrogen."""
    from pymatgen.core import Element

    every: Any = Element
    return {e.symbol: e.Z for e in every} | {"D": 1, "T": 1}


@cache
def periodic_table() -> np.ndarray:
    """(E + 1, 4): Pauling's electronegativity (0 where there is none), atomic number, row, column; entry 0 is empty."""
    from pymatgen.core import Element

    table = np.zeros((ELEMENTS + 1, 4))
    for z in range(1, ELEMENTS + 1):
        e = Element.from_Z(z)
        with unwarned():
            table[z] = [np.nan_to_num(e.X), z, e.row, e.group]
    return table


@contextmanager
def unwarned() -> Iterator[None]:
    """Noble gases have no electronegativity, by which formulas are sorted; pymatgen warns of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No Pauling electronegativity")
        yield
