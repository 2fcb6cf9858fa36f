"""Where the figures of a training go."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError


class JsonLines:
    """One JSON object a line, ``{"phase": ..., "step": ..., name: value, ...}``; several phases share a file.

    On opening, a torn last line is cut, and with it the lines of this phase beyond step `after`: a resumed
    training writes them again. Values that are not finite become null.
    """

    def __init__(self, path: str | Path, phase: str, after: int = 0):
        self.path, self.phase = Path(path), phase
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._trim(after)
            self._file = self.path.open("a")
        except OSError as error:
            raise self._failed(error) from error

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append a line."""
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            self._file.write(json.dumps({"phase": self.phase, "step": step, **numbers}) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _trim(self, after: int) -> None:
        if not self.path.exists():
            return
        before = self.path.read_bytes()
        whole = before[: before.rfind(b"\n") + 1].splitlines(keepends=True)
        kept = b"".join(line for line in whole if not self._beyond(line, after))
        if kept != before:
            part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            part.write_bytes(kept)
            os.replace(part, self.path)

    def _beyond(self, line: bytes, after: int) -> bool:
        try:
            row = json.loads(line)
        except ValueError:
            return True
        return row.get("phase") == self.phase and row["step"] > after

    def _failed(self, error: OSError) -> GenkitError:
        return GenkitError(
            f"cannot write {self.path}: {error.strerror or error}; make room or choose another folder, then resume"
        )


class Tensorboard:
    """Event files for TensorBoard in ``<folder>/tensorboard``; needs the package tensorboardX."""

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise GenkitError(
                "the tensorboard logger needs the package tensorboardX; install it, or choose no logger"
            ) from error
        self._writer: Any = SummaryWriter(str(Path(folder) / "tensorboard"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def artifact(self, path: Path) -> None:
        """Name the file on the text page."""
        self._writer.add_text("artifacts", str(path))

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
