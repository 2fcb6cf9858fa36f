"""The suite `core.cli`: how long the command line takes to answer when it has nothing to compute."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from genkit.bench.rows import Timed


@dataclass(frozen=True)
class Start:
    """Wall time of a new process: `genkit --help`, `list`, `plugins`."""

    def measure(self, profile: str) -> Iterator[Timed]:
        """One row a command."""
        for word in ("--help", "list", "plugins"):
            command = [sys.executable, "-P", "-m", "_genkit_jax", word]
            yield Timed(f"genkit {word}", partial(subprocess.run, command, check=True, capture_output=True))
