"""`genkit bench`: figures beside the exact ones, and speed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import tyro

from genkit.errors import UsageError
from genkit.plugin import registry


@dataclass(frozen=True)
class Bench:
    """Measure benchmark suites: speed, and fidelity to exact and published figures.

    The exit code is 1 if a figure misses its tolerance. Figures that were recorded on this machine are compared
    as ratios. `genkit list benchmarks` shows the suites.
    """

    what: Annotated[str, tyro.conf.Positional] = "all"
    """all, fidelity (the suites of that name), speed (all others), or one suite such as core.fidelity."""
    profile: Literal["full", "smoke"] = "full"
    """smoke only tests that the suites work: small shapes, one round."""
    record: bool = False
    """Write the figures to benchmarks/<machine>.json and .md; do it on an idle machine."""

    def run(self) -> int:
        """Show a table a suite."""
        if self.record and self.profile != "full":
            raise UsageError("--record needs --profile full; figures of the smoke profile mean nothing")
        suites = {name: registry().load("benchmarks", name)() for name in chosen(self.what)}
        from genkit.bench import baseline, machine, measure, record
        from genkit.terminal import console

        screen = console()
        before = baseline() if self.profile == "full" else {}
        screen.print(machine())
        found = measure(suites, self.profile, lambda name, rows: show(screen, name, rows, before.get(name)))
        if self.record:
            screen.print(f"recorded in {record(found)}")
        missed = [f"{name}: {row.name}" for name, rows in found.items() for row in rows if row.missed]
        if missed:
            screen.print(f"{len(missed)} missed: {'; '.join(missed)}")
        return int(bool(missed))


def chosen(what: str) -> list[str]:
    """Full names of the suites that `what` means."""
    names = [item.name for item in registry().items("benchmarks")]
    fidelity = [name for name in names if name.endswith(".fidelity")]
    groups = {"all": names, "fidelity": fidelity, "speed": [name for name in names if name not in fidelity]}
    return groups[what] if what in groups else [registry().find("benchmarks", what).name]


def show(screen: Any, name: str, rows: Any, before: Any) -> None:
    """Print the table of a suite, without the notes, which would take the width."""
    from rich.table import Table

    from genkit.bench import table

    header, cells = table([replace(row, note="") for row in rows], before)
    shown = Table(title=name, title_justify="left")
    for title in header:
        shown.add_column(title, justify="left" if title in ("", "unit") else "right", overflow="fold")
    for row, line in zip(rows, cells, strict=True):
        shown.add_row(*line, style="bold red" if row.missed else None)
    screen.print(shown)
