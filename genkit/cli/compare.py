"""`genkit compare`: the results of runs side by side."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from genkit.errors import UsageError


@dataclass(frozen=True)
class Compare:
    """Compare the results of two or more runs, show in which options they differ, and which differences are sure."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    only: str = "*"
    """Pattern of the results to show, such as 'rmse/*/6h'."""

    def run(self) -> None:
        """Print the tables."""
        from rich.table import Table

        from genkit.experiment import cell, read
        from genkit.terminal import console

        if len(self.runs) < 2:
            raise UsageError(f"compare needs at least two run folders, got {len(self.runs)}")
        runs = [read(folder) for folder in self.runs]
        configs = [{"experiment": run.experiment, "seed": run.seed, **run.options} for run in runs]
        screen = console()

        def table(title: str, rows: list[tuple[str, list[str]]]) -> None:
            shown = Table(title=title, title_justify="left")
            shown.add_column("")
            for folder in self.runs:
                shown.add_column(str(folder), justify="right", overflow="fold")
            for name, cells in rows:
                shown.add_row(name, *cells)
            screen.print(shown)

        keys = dict.fromkeys(k for c in configs for k in c)
        differ = [k for k in keys if len({str(c.get(k)) for c in configs}) > 1]
        table("options that differ", [(k, [str(c.get(k, "–")) for c in configs]) for k in differ])
        names = dict.fromkeys(k for run in runs for k in run.results if fnmatch.fnmatch(k, self.only))
        if not names:
            raise UsageError(f"no result matches {self.only!r}; results.json of a run holds their names")
        table("results", [(k, [cell(run.results.get(k)) for run in runs]) for k in names])
        rows = differences(runs, self.only)
        if rows:
            table("differences from the first run on the same items, with 95 % of a paired bootstrap", rows)


def differences(runs: Sequence[Any], only: str) -> list[tuple[str, list[str]]]:
    """Mean difference of each run from the first, and its interval, for scores that were kept item by item.

    Of runs on other items there is none.
    """
    first, *others = (run.items for run in runs)
    same = [one if first and one and np.array_equal(first["items"], one["items"]) else {} for one in others]
    names = [k for k in first if k != "items" and fnmatch.fnmatch(k, only) and any(k in one for one in same)]
    return [(k, ["–", *(_difference(first, one, k) for one in same)]) for k in names]


def _difference(first: Mapping[str, Any], one: Mapping[str, Any], name: str) -> str:
    if name not in one:
        return "–"
    import jax

    from genkit.experiment import cell
    from genkit.metrics import paired_bootstrap

    found = paired_bootstrap(jax.random.key(0), one[name], first[name])
    mean, low, high = (cell(float(v)) for v in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"
