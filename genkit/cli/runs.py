"""`genkit runs`: the runs below a folder."""

from __future__ import annotations

import fnmatch
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.errors import GenkitError, UsageError

TEXTS = ("state", "result", "experiment and preset")


@dataclass(frozen=True)
class Runs:
    """List the runs below a folder, the newest first: state, age and main result. Needs no plugin."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
    """Where to look."""
    only: str = "*"
    """Pattern of the result to show, such as 'rmse/*/6h'; the first one that matches."""

    def run(self) -> int:
        """Print a row each; 1 if a folder could not be read."""
        from genkit.experiment import Record, cell, printed, run_folders
        from genkit.terminal import console, plural

        if not self.folder.is_dir():
            raise UsageError(f"{self.folder} is no folder; `genkit run` makes runs/, or name another one")
        records, wrong = [], 0
        for folder in run_folders(self.folder):
            try:
                record = Record.read(folder)
                found = {k: v for k, v in record.results.items() if fnmatch.fnmatch(k, self.only)}
                about = [str(record.seed), f"{record.experiment} {record.preset}"]
                now = [record.state, ago(record.age)]
            except GenkitError as error:
                print(f"genkit: {error}", file=sys.stderr)
                wrong = 1
                continue
            main = next((f"{name} {cell(value)}" for name, value in found.items()), "")
            records.append((record.age, [str(folder.relative_to(self.folder)), *now, main, *about]))
        records.sort(key=lambda one: float("inf") if one[0] is None else one[0])
        header = ["folder", "state", "age", "result", "seed", "experiment and preset"]
        screen, title = console(), f"{plural(len(records), 'run')} in {self.folder}"
        for part in printed(header, [row for _, row in records], title, screen.width, left=TEXTS):
            screen.print(part)
        return wrong


def ago(seconds: float | None) -> str:
    """An age in its largest unit: ``42 s``, ``5 min``, ``3 h``, ``12 d``."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
