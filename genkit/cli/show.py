"""`genkit show`: the resolved configuration of an experiment, a config.yaml or a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.cli.run import RunOptions, configured, show
from genkit.plugin import registry


@dataclass(frozen=True)
class Show:
    """Print the resolved configuration and its shapes, of a run its state and results too.

    Of a run whose plugin is not here, what its folder says.
    """

    config: Any
    options: RunOptions = field(default_factory=RunOptions)
    told: dict[str, str] = field(default_factory=dict)
    """of a run: its state, and its first results"""

    @classmethod
    def parse(cls, words: list[str]) -> Show | Told:
        """Parse ``NAME|config.yaml|RUN [options]``."""
        if not words or not Path(words[0]).is_dir():
            return cls(*configured("show", words, RunOptions))
        from genkit.experiment import Record, first_results

        record = Record.read(Path(words[0]))
        file, plugin = record.folder / "config.yaml", record.experiment.partition(".")[0]
        if words[1:] or ":" in plugin or plugin in registry().plugins:
            made = configured("show", [str(file), *words[1:]], RunOptions)
            return cls(*made, {} if words[1:] else {"state": record.state} | first_results(record.folder))
        return Told(file, f"the plugin {plugin!r} is not installed here")

    def run(self) -> int:
        """Print it."""
        return show(self.config, self.options, self.told)


@dataclass(frozen=True)
class Told:
    """A config.yaml of a plugin that is not here."""

    file: Path
    reason: str

    def run(self) -> int:
        """Print it as it stands."""
        print(f"{self.file.read_text().rstrip()}\n# as it stands there; {self.reason}")
        return 0
