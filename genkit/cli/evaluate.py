"""`genkit evaluate`: sample and evaluate a run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Evaluate:
    """Sample and evaluate a trained run again, and make its report."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The run."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> None:
        """Work through the last stages."""
        again(self.run_folder, ("sample", "evaluate", "report"), self.trust)


def again(folder: Path, stages: tuple[str, ...], trust: bool) -> None:
    """Repeat stages of a run, with progress in the terminal."""
    from genkit.experiment import load, set_up
    from genkit.terminal import console

    set_up()
    run = load(folder, trust)
    run.console, run.progress = console(), True
    run.work(stages, again=True)
    run.say(f"report: {run.folder / 'report.html'}")
