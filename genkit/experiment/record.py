"""What the files of a run folder say, read without its plugin and without running anything of it."""

from __future__ import annotations

import fnmatch
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError
from genkit.experiment import report
from genkit.experiment.folder import Status, is_held, is_run
from genkit.files import check_plain, damaged, read_arrays, read_yaml

FILES = ("config.yaml", "status.json", "results.json", "items.npz", ".lock")  # that are read here


@dataclass(frozen=True)
class Record:
    """A run as its folder tells it."""

    folder: Path
    experiment: str
    preset: str
    seed: int
    options: dict[str, Any]
    """all options by their keys"""

    @classmethod
    def read(cls, folder: Path) -> Record:
        """The run of a folder. Raises `GenkitError`."""
        if not is_run(folder):
            raise UsageError(f"{folder} is no run folder: it has no config.yaml; `genkit run` makes one")
        try:
            check_plain(folder, FILES)
        except OSError as error:
            raise GenkitError(f"cannot read {folder}: {error.strerror}; check who may read it") from None
        file = folder / "config.yaml"
        content = read_yaml(file)
        options = content.get("options", {}) if isinstance(content, dict) else None
        if not isinstance(options, dict) or not isinstance(content.get("seed", 0), int) or "experiment" not in content:
            raise damaged(file, "has not the keys experiment, seed and options as they should be")
        preset = str(content.get("preset", "default"))
        return cls(folder, str(content["experiment"]), preset, content.get("seed", 0), options)

    @cached_property
    def results(self) -> dict[str, float | None]:
        """The results, flat name -> number."""
        return report.results(self.folder)

    @cached_property
    def items(self) -> dict[str, Any]:
        """Scores of single items, and "items", which they are; empty where none were kept."""
        file = self.folder / "items.npz"
        return read_arrays(file) if file.exists() else {}

    @property
    def state(self) -> str:
        """new, running, done, failed, interrupted; killed where the process that ran is gone from this machine."""
        status = Status(self.folder).content
        here = status["state"] == "running" and status.get("host") == socket.gethostname()
        return "killed" if here and not is_held(self.folder) else status["state"]

    @property
    def age(self) -> float | None:
        """Seconds since its state changed."""
        try:
            return time.time() - datetime.fromisoformat(Status(self.folder).content["time"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return None


def run_folders(root: Path) -> Iterator[Path]:
    """The run folders below a folder, or itself; links are not followed, and what is in a run is not looked at."""
    for path, below, files in os.walk(root):
        if fnmatch.fnmatch(os.path.abspath(path), "*/wandb/*run-*/files"):  # it has a config.yaml of its own
            continue
        if "config.yaml" in files:
            below.clear()
            yield Path(path)
        below.sort()
