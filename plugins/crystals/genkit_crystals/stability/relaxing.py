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

    The phases go to `table`, a CSV file that `read_hull` takes. One whose relaxation fails or does not converge is left
    out, which lowers energies above the hull: it is told, and stands with its reason in the file of the name of `table`
    with _refused, and in `Hull.left_out`.
    """
    name = realiser.calculator
    if name is None:
        raise UsageError(f"--hull {path}: structures need energies; give --realiser.calculator")
    calculator(name)
    rows = [row for some in each(partial(_phases, realiser=realiser), list(entries(path)), share=5) for row in some]
    refused = [Reject(place, reason) for place, *_, reason in rows if reason]
    for one in refused:
        say(f"left out of the hull: {one.place}: {one.reason}")
    write_table(
        table.with_stem(f"{table.stem}_refused"), ("place", "reason"), [(one.place, one.reason) for one in refused]
    )
    good = [row for row in rows if not row[-1]]
    if not good:
        why = f"; the first of {len(rows)}: {rows[0][-1]}" if rows else ": there are no structures"
        raise DataError(f"{path}: no phase of the hull could be relaxed{why}")
    columns = ("place", "formula", "energy_per_atom", "calculator")
    write_table(table, columns, [(place, formula, energy, name) for place, formula, energy, _ in good])
    phases = tuple(Phase(formula, energy, place) for place, formula, energy, _ in good)
    return Hull(phases, name, str(path), tuple(refused))


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
