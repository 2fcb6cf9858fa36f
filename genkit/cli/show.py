"""`genkit show`: the resolved configuration of an experiment, a config.yaml or a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.cli.run import RunOptions, configured, show


@dataclass(frozen=True)
class Show:
    """Print the resolved configuration and its shapes."""

    config: Any
    options: RunOptions = field(default_factory=RunOptions)

    @classmethod
    def parse(cls, words: list[str]) -> Show:
        """Parse ``NAME|config.yaml|RUN [options]``."""
        if words and Path(words[0]).is_dir():
            words = [str(Path(words[0]) / "config.yaml"), *words[1:]]
        return cls(*configured("show", words, RunOptions))

    def run(self) -> int:
        """Print it."""
        return show(self.config, self.options)
