"""Which structures are the same, and which are known: pymatgen's StructureMatcher with its own tolerances.

Volumes are scaled to each other, cells reduced; structures of different reduced formulas are different.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from genkit.workers import each
from genkit_crystals.protostructures import Entry, Reject, entries, structures_of


def classes(found: Sequence[Any]) -> list[int | None]:
    """The class of each structure, named by the place of its first member; None for None."""
    first: dict[str, list[int]] = defaultdict(list)
    out: list[int | None] = []
    for i, one in enumerate(found):
        if one is None:
            out.append(None)
            continue
        of_formula = first[_formula(one)]
        same = next((j for j in of_formula if _same(one, found[j])), i)
        if same == i:
            of_formula.append(i)
        out.append(same)
    return out


def are_known(found: Sequence[Any], known: Sequence[Any]) -> list[bool]:
    """Whether each structure is one of the known ones; False for None."""
    by_formula: dict[str, list[Any]] = defaultdict(list)
    for one in known:
        by_formula[_formula(one)].append(one)
    return [one is not None and any(_same(one, other) for other in by_formula[_formula(one)]) for one in found]


def known_structures(path: Path, like: Sequence[Any]) -> tuple[list[Any], int]:
    """(structures of a file or folder that have the formula of one of `like`, how many could not be read).

    What is parsed is known, also where no symmetry is found; of one whose setting is open, all that it may be.
    """
    wanted = frozenset(_formula(one) for one in like if one is not None)
    every = list(entries(path))
    found = each(partial(_of_formulas, wanted=wanted), every, share=100)
    return [one for some, _ in found for one in some], sum(refused for _, refused in found)


def _of_formulas(entry: Entry | Reject, wanted: frozenset[str]) -> tuple[list[Any], int]:
    read = [one for _, one in structures_of(entry)]
    refused = sum(isinstance(one, str) for one in read)
    return [s for one in read if not isinstance(one, str) for s in one if _formula(s) in wanted], refused


def _formula(structure: Any) -> str:
    return structure.composition.element_composition.reduced_formula


def _same(one: Any, other: Any) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return bool(StructureMatcher().fit(one, other))
