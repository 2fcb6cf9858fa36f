"""A hull of structures, relaxed as the crystals that it judges are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from genkit.errors import DataError, UsageError
from genkit.workers import each
from genkit_crystals.protostructures import Entry, Realiser, Reject, calculator, entries, structures_of, write_table
from genkit_crystals.stability.hull import Hull, Phase


def relaxed_hull(path: Path, realiser: Realiser, table: Path, say: Callable[[str], None] = lambda text: None) -> Hull:
    """The hull of structure files by the calculator of the realiser, with its steps, force and time limit.

    A phase whose relaxation fails or does not converge is left out, with a word; its row in `table`, a CSV file that
    `read_hull` takes, has the reason.
    """
    name = realiser.calculator
    if name is None:
        raise UsageError(f"--hull {path}: structures need energies; give --realiser.calculator")
    calculator(name)
    rows = [row for some in each(partial(_phases, realiser=realiser), list(entries(path)), share=5) for row in some]
    for place, *_, reason in rows:
        if reason:
            say(f"left out of the hull: {place}: {reason}")
    good = [row for row in rows if not row[-1]]
    if not good:
        why = f"; the first of {len(rows)}: {rows[0][-1]}" if rows else ": there are no structures"
        raise DataError(f"{path}: no phase of the hull could be relaxed{why}")
    columns = zip(*((place, formula, energy, name) for place, formula, energy, _ in good), strict=True)
    write_table(table, dict(zip(("place", "formula", "energy_per_atom", "calculator"), columns, strict=True)))
    return Hull(tuple(Phase(formula, energy, place) for place, formula, energy, _ in good), name, str(path))


def _phases(entry: Entry | Reject, realiser: Realiser) -> list[tuple[str, str, float, str]]:
    """(place, formula, energy, "") or (.., reason) of the structures of an entry."""
    out: list[Any] = []
    for place, one in structures_of(entry):
        if isinstance(one, str):
            out.append((place, "", float("nan"), one))
            continue
        made = realiser.relaxed(one)
        formula = one.composition.element_composition.formula.replace(" ", "")
        out.append((place, formula, made.energy, made.reason))
    return out
