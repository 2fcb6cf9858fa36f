"""Stable, unique and new: the scores of candidates against a hull and known crystals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit_crystals.protostructures import Protostructure
from genkit_crystals.stability.candidates import NAN, Candidate
from genkit_crystals.stability.hull import Hull
from genkit_crystals.stability.matching import are_known, classes

THRESHOLDS = (0.0, 0.08, 0.1)  # eV per atom
ROUNDING = 1e-8  # eV per atom: a phase of the hull lies on it


def judged(
    found: Sequence[Candidate],
    structures: Sequence[Any],
    hull: Hull | None,
    labels: Collection[str],
    known: Sequence[Any] | None,
) -> list[Candidate]:
    """Candidates with their energies above the hull, whether they are new, and whether they are the best of their like.

    Args:
        found: the candidates.
        structures: theirs, None where there is none.
        hull: None leaves the energies out.
        labels: of known crystals.
        known: known structures; None where there are none to compare with.
    """
    above = [_above(one, hull) for one in found]
    same, own = classes(structures), [one.label or None for one in found]
    seen = are_known(structures, known) if known is not None else [NAN] * len(found)
    rank = [e if e == e else np.inf for e, _ in above]
    best_label, best_structure = _best(own, rank), _best(same, rank)
    out = []
    for i, (one, (energy, why)) in enumerate(zip(found, above, strict=True)):
        out.append(
            replace(
                one,
                reason=one.reason or why,
                e_hull=energy,
                new_label=float(one.label not in labels) if one.label else NAN,
                new_structure=float(not seen[i]) if one.file and known is not None else NAN,
                unique_label=best_label[i],
                unique_structure=best_structure[i],
            )
        )
    return out


def scores(found: Sequence[Candidate], hull: bool) -> dict[str, float | None]:
    """Shares of all candidates, what could not be made among them, but for uniqueness and novelty.

    uniqueness/structure: distinct structures over structures; novelty/structure: share of the structures that no known
    one matches. e_hull/median over those that have an energy above the hull (e_hull/share of all), in eV per atom.
    stable/T: share at most T above the hull; sun/T: stable, the best of its like, and new, by StructureMatcher, or new
    by label where there are no known structures; sun_label/T: the same by label alone.
    """
    made = [one for one in found if one.file]
    novelty = [one.new_structure for one in made if one.new_structure == one.new_structure]
    results: dict[str, float | None] = {
        "uniqueness/structure": _mean([one.unique_structure for one in made]),
        "novelty/structure": _mean(novelty),
    }
    if not hull:
        return results
    energies = [one.e_hull for one in found if one.e_hull == one.e_hull]
    results["e_hull/median"] = float(np.median(energies)) if energies else None
    results["e_hull/share"] = len(energies) / len(found) if found else None
    ways: dict[str, Callable[[Candidate], bool]] = {
        "stable": lambda one: True,
        "sun": lambda one: one.unique_structure == 1 and one.is_new,
        "sun_label": lambda one: one.unique_label == 1 and one.new_label == 1,
    }
    for name, holds in ways.items():
        for limit in THRESHOLDS:
            counted = [one.e_hull <= limit + ROUNDING and holds(one) for one in found]
            results[f"{name}/{limit:g}"] = _mean(counted)
    return results


def _above(one: Candidate, hull: Hull | None) -> tuple[float, str]:
    """(energy above the hull, "") or (NaN, why there is none)."""
    if hull is None or not one.relaxed:
        return NAN, ""
    try:
        return hull.above(Protostructure.from_label(one.label).chemical_formula, one.energy_per_atom), ""
    except DataError as error:
        return NAN, str(error)


def _best(like: Sequence[Any], rank: Sequence[float]) -> list[float]:
    """1 for the lowest of those that are alike, the first where several are, 0 for the others; NaN for None."""
    first: dict[Any, int] = {}
    for i in sorted(range(len(like)), key=lambda i: rank[i]):
        first.setdefault(like[i], i)
    return [NAN if one is None else float(first[one] == i) for i, one in enumerate(like)]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
