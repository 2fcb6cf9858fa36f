"""Where the figures of a training go."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.files import damaged, read_text, read_yaml, write


class JsonLines:
    """One JSON object a line, ``{"phase": ..., "step": ..., name: value, ...}``; several phases share a file.

    On opening, a torn last line is cut, and with it the lines of this phase beyond step `after`: a resumed
    training writes them again, and `was_cut` tells which, as other loggers have them. Values that are not finite become
    null.
    """

    def __init__(self, path: str | Path, phase: str, after: int = 0):
        self.path, self.phase = Path(path), phase
        self._cut: set[tuple[int, frozenset[str]]] = set()
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

    def was_cut(self, step: int, values: dict[str, float]) -> bool:
        """Whether a line with these names was there when the file was opened, and is written again."""
        return (step, frozenset(values)) in self._cut

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
        beyond = row.get("phase") == self.phase and (row["step"] > after or not after)
        if beyond:
            self._cut.add((row["step"], frozenset(row) - {"phase", "step"}))
        return beyond

    def _failed(self, error: OSError) -> GenkitError:
        return GenkitError(
            f"cannot write {self.path}: {error.strerror or error}; make room or choose another folder, then resume"
        )


class Tensorboard:
    """Event files for TensorBoard in ``<folder>/tensorboard``; needs the package tensorboardX."""

    def __init__(self, folder: str | Path):
        self._writer = _needed("tensorboardX", "tensorboard").SummaryWriter(str(Path(folder) / "tensorboard"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def artifact(self, path: Path) -> None:
        """Name the file on the text page."""
        self._writer.add_text("artifacts", str(path))

    def close(self, done: bool) -> None:
        """Flush and close the event file."""
        self._writer.close()


class Wandb:
    """A run of Weights & Biases; a run that is resumed goes on in it. Needs the package wandb.

    `WANDB_MODE=offline` sends nothing, `WANDB_PROJECT` names the project (genkit), `WANDB_DIR` the place of its files.
    """

    def __init__(self, folder: str | Path):
        wandb, self.folder = _needed("wandb", "wandb"), Path(folder).absolute()
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "genkit"),
            name=self.folder.name,
            config=_described(self.folder),
            id=_mark(self.folder),
            resume="allow",
        )
        self._run.define_metric("*", step_metric="step")  # each phase has steps of its own, wandb's only grow

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each curve."""
        self._run.log({"step": step, **values})

    def artifact(self, path: Path) -> None:
        """Keep the file with the run."""
        self._run.save(str(Path(path).absolute()), base_path=str(self.folder), policy="now", glob=False)

    def close(self, done: bool) -> None:
        """Send what is left, and whether the run is done."""
        self._run.finish(exit_code=int(not done))


class Mlflow:
    """A run of MLflow, on the server that `MLFLOW_TRACKING_URI` names, else in ``<folder>/mlruns``.

    A run that is resumed goes on in it. Needs the package mlflow, or mlflow-skinny.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder).absolute()
        mlflow, server = _needed("mlflow", "mlflow"), os.environ.get("MLFLOW_TRACKING_URI")
        if not server:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow asks for this word since 3.0
        self._client: Any = mlflow.MlflowClient(server or (folder / "mlruns").as_uri())
        about = _described(folder)
        name, mark = str(about.get("experiment", "genkit")), _mark(folder)
        there = self._client.get_experiment_by_name(name)
        group = there.experiment_id if there else self._client.create_experiment(name)
        found = self._client.search_runs([group], f"tags.`genkit.folder` = '{mark}'")
        run = found[0] if found else self._client.create_run(group, tags={"genkit.folder": mark}, run_name=folder.name)
        self._id = run.info.run_id
        for key, value in about.items():
            self._client.log_param(self._id, key, str(value)[:500])

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add one point to each curve."""
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, int(time.time() * 1000), step)

    def artifact(self, path: Path) -> None:
        """Keep the file with the run."""
        self._client.log_artifact(self._id, str(path))

    def close(self, done: bool) -> None:
        """Mark the run as finished or failed."""
        self._client.set_terminated(self._id, "FINISHED" if done else "FAILED")


def _needed(package: str, logger: str) -> Any:
    """The package of a logger."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise GenkitError(
            f"the {logger} logger needs the package {package}; install it, or choose no logger"
        ) from error


def _mark(folder: Path) -> str:
    """What tells a run from all others: drawn once, and kept in its folder, wherever that goes."""
    file = folder / "logger_id.txt"
    if not file.exists():
        write(file, secrets.token_hex(8))
    mark = read_text(file, 100)
    if not re.fullmatch("[0-9a-f]{16}", mark):
        raise damaged(file, "is not 16 hexadecimal digits", "delete it; loggers begin a new run")
    return mark


def _described(folder: Path) -> dict[str, Any]:
    """What config.yaml says, as one level."""
    content = read_yaml(folder / "config.yaml")
    return {key: value for key, value in content.items() if key != "options"} | content.get("options", {})
