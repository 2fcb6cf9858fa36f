"""A hull of structures, relaxed as the crystals that it judges are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from genkit.errors import DataError, UsageError
from genkit.workers import each
from genkit_crystals.protostructures import (
    Entry,
    Realiser,
    Reject,
    calculator,
    crystals_of,
    entries,
    entry_of,
    tabular,
    write_table,
)
from genkit_crystals.stability.hull import Hull, Phase, has_energies, hull_of, rows_of


def open_hull(
    path: Path,
    source: str | None,
    realiser: Realiser,
    table: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Hull:
    """The hull of a table of energies, which must be of the realiser's calculator, or of structure files.

    Structures are relaxed by that calculator, with the realiser's steps, force and time limit.

    Args:
        path: a table as of `read_hull`, or what `entries` reads.
        source: of the energies of a table that does not say it.
        realiser: what makes the crystals that are judged.
        table: where the relaxed phases are written.
        say: tells of what is left out.
    """
    if path.is_dir() or (path.is_file() and not tabular(path)):
        return _relaxed(entries(path), path, realiser, table, say)
    rows = rows_of(path)
    if not has_energies(rows):
        return _relaxed((entry_of(place, row, path.name) for place, row in rows), path, realiser, table, say)
    found = hull_of(rows, path, source)
    found.require(realiser.calculator)
    return found


def _relaxed(
    found: Iterable[Entry | Reject], path: Path, realiser: Realiser, table: Path, say: Callable[[str], None]
) -> Hull:
    """The hull of structures.

    The phases go to `table`, a CSV file that `read_hull` takes. One whose relaxation fails or does not converge is left
    out, which lowers energies above the hull: it is told, and stands with its reason in the file of the name of `table`
    with _refused, and in `Hull.left_out`.
    """
    name = realiser.calculator
    if name is None:
        raise UsageError(f"--hull {path}: structures need energies; give --realiser.calculator")
    calculator(name)
    rows = [row for some in each(partial(_phases, realiser=realiser), list(found), share=5) for row in some]
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
    for place, one in crystals_of(entry):
        if isinstance(one, str):
            out.append((place, "", float("nan"), one))
            continue
        crystal, structure = one
        made = realiser.relaxed(crystal, structure)
        formula = structure.composition.element_composition.formula.replace(" ", "")
        out.append((place, formula, made.energy, made.reason))
    return out
