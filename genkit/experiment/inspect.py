"""Is a run folder in order? Every file that genkit reads from it, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.experiment import environment, report
from genkit.experiment.config import read_yaml
from genkit.experiment.folder import Status
from genkit.files import check_plain, read_arrays


def inspect(folder: Path, trust: bool = False) -> Iterator[tuple[str, str, bool]]:
    """What was looked at, how it is, and whether it is good: files, checkpoints and models with their checksums."""
    yield _checked("files and folders", lambda: check_plain(folder), "no link leaves the folder")
    if not folder.is_dir():
        return
    yield _checked("config.yaml", lambda: read_yaml(folder / "config.yaml", trust), "")
    yield _checked("status.json", lambda: Status(folder).content["state"])
    if (folder / "results.json").exists():
        yield _checked("results.json", lambda: f"{len(report.results(folder))} results")
    if (folder / "metrics.jsonl").exists():
        yield _metrics(folder)
    yield _checked("environment.json", lambda: f"{len(environment.read(folder))} commands")
    yield _checked("figures", lambda: f"{len(report.items(folder))} figures and tables")
    for file in sorted(folder.rglob("*.npz")):
        yield _checked(str(file.relative_to(folder)), lambda file=file: f"{len(read_arrays(file))} arrays")
    yield from _checkpoints(folder)
    yield from _models(folder, trust)


def _checked(what: str, look: Callable[[], Any], said: str | None = None) -> tuple[str, str, bool]:
    try:
        found = look()
    except (GenkitError, OSError) as error:
        return what, str(error), False
    return what, str(found) if said is None else said, True


def _metrics(folder: Path) -> tuple[str, str, bool]:
    """Torn lines are left out by all who read it; more than the last one were not torn by a kill."""

    def look() -> str:
        rows, lines = len(report.metrics(folder)), (folder / "metrics.jsonl").read_bytes().count(b"\n")
        if lines > rows:
            raise GenkitError(f"{folder / 'metrics.jsonl'} has {lines - rows} damaged lines, which are left out")
        return f"{rows} lines"

    return _checked("metrics.jsonl", look)


def _checkpoints(folder: Path) -> Iterator[tuple[str, str, bool]]:
    from genkit.train import checkpoint

    for place in sorted({path.parent for path in folder.rglob("checkpoints/*/*/*") if path.name.isdigit()}):
        for step in checkpoint.steps(place):
            wrong = checkpoint.damage(place, step)
            name = str((place / str(step)).relative_to(folder))
            good = "as written" if checkpoint.noted(place, step) else "without checksums"
            yield name, wrong or good, wrong is None


def _models(folder: Path, trust: bool) -> Iterator[tuple[str, str, bool]]:
    from genkit import model

    for page in sorted(folder.rglob("model.yaml")):
        yield _checked(
            str(page.parent.relative_to(folder)),
            lambda page=page: f"fingerprint {model.load(page.parent, trust).origin.fingerprint}",
        )
