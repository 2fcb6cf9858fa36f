"""`genkit report`: make the report of a run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.cli.evaluate import again


@dataclass(frozen=True)
class Report:
    """Make figures, tables and report.html of a run again."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The run."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> None:
        """Work through the last stage."""
        from genkit.experiment import load, set_up

        set_up()
        again(load(self.run_folder, self.trust), ("report",))
