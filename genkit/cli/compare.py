"""`genkit compare`: the results of runs side by side."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.errors import UsageError


@dataclass(frozen=True)
class Compare:
    """Compare the results of two or more runs, and show in which options they differ."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    only: str = "*"
    """Pattern of the results to show, such as 'rmse/*/6h'."""
    trust: bool = False
    """Allow configurations to name own code (module:Class)."""

    def run(self) -> None:
        """Print two tables."""
        from rich.console import Console
        from rich.table import Table

        from genkit.experiment import cell, flat, load

        if len(self.runs) < 2:
            raise UsageError(f"compare needs at least two run folders, got {len(self.runs)}")
        runs = [load(folder, self.trust) for folder in self.runs]
        configs = [{"experiment": run.name, "seed": run.seed, **flat(run.config)} for run in runs]
        console = Console()

        def table(title: str, rows: list[tuple[str, list[str]]]) -> None:
            shown = Table(title=title, title_justify="left")
            shown.add_column("")
            for folder in self.runs:
                shown.add_column(str(folder), justify="right", overflow="fold")
            for name, cells in rows:
                shown.add_row(name, *cells)
            console.print(shown)

        keys = dict.fromkeys(k for c in configs for k in c)
        differ = [k for k in keys if len({str(c.get(k)) for c in configs}) > 1]
        table("options that differ", [(k, [str(c.get(k, "–")) for c in configs]) for k in differ])
        names = dict.fromkeys(k for run in runs for k in run.results if fnmatch.fnmatch(k, self.only))
        if not names:
            raise UsageError(f"no result matches {self.only!r}; results.json of a run holds their names")
        table("results", [(k, [cell(run.results.get(k)) for run in runs]) for k in names])
