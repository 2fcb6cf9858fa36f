"""Runs are started, continued and opened here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError
from genkit.experiment import environment, report
from genkit.experiment.config import differences, read_plain, read_yaml, write_yaml
from genkit.experiment.folder import Status, claim, is_run
from genkit.experiment.ranges import check_ranges
from genkit.experiment.run import Run
from genkit.experiment.slots import recipes
from genkit.files import check_plain, read_arrays, write
from genkit.plugin import registry


def run(
    config: Any,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    preset: str = "default",
    prepare: Callable[[Run], None] | None = None,
    trust: bool = False,
) -> Run:
    """Run a configured experiment and return the finished run.

    A new folder ``runs/<name>/<time>-<seed>`` is claimed, or `out` is used: it must be new or empty unless
    `resume`, which starts, continues or finds it done, and refuses a folder of another configuration.
    `prepare(run)` sets what is outside the configuration (console, loggers). A restored model of own code needs
    `trust`. Raises `GenkitError`.
    """
    from genkit.parallel import is_main

    check_seed(seed)
    check_ranges(config)
    environment.set_up()
    name = registry().name_of("experiments", type(config))
    if out is None or not is_run(Path(out)):
        check_restored(config, trust)
    folder = _shared_folder(name, seed, out)
    this = Run(config, folder, seed, preset, may_train=True, trust=trust)
    if prepare:
        prepare(this)
    file = folder / "config.yaml"
    if file.exists():
        if not resume:
            raise UsageError(f"{folder} holds a run already; give --resume to continue it, or another --out")
        check_plain(folder)
        before, _, seed_before = read_yaml(file, trust=True)
        if type(before) is not type(config):
            raise UsageError(f"{folder} holds a run of {type(before).__name__}, not of {name}; choose another --out")
        changed = differences(before, config)
        changed += [f"seed: {seed_before} -> {seed}"] * (seed_before != seed)
        if changed:
            raise UsageError(
                f"{folder} was started with another configuration ({'; '.join(changed[:3])}); "
                f"choose another --out, or repeat its options"
            )
        if Status(folder).content["state"] == "done":
            this.say(f"{folder} is done already")
            return this
    elif is_main():
        write(file, write_yaml(config, preset, seed))
    this.say(f"{name} (seed {seed}) in {folder}")
    try:
        this.work()
    finally:
        for logger in this.loggers:
            logger.close()
    return this


def check_seed(seed: int) -> None:
    """Refuse a seed that two runs could share, as keys have no room for all of it."""
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed={seed} is out of range; expected 0 to {2**31 - 1}")


def check_restored(config: Any, trust: bool = False) -> None:
    """Refuse options that restored models cannot take, and models that have changed."""
    for recipe, names in recipes(config):
        recipe.check_restored(names, trust)


def load(path: str | Path, trust: bool = False) -> Run:
    """Open a run folder: ``.config .results .figures .model .sample(key, n)``.

    Executes nothing of the folder; one whose configuration names own code (``module:Class``) needs `trust`.
    """
    folder = _run_folder(path)
    config, preset, seed = read_yaml(folder / "config.yaml", trust)
    return Run(config, folder, seed, preset, trust=trust)


@dataclass(frozen=True)
class Record:
    """What a run folder says, whether its plugin is installed or not."""

    experiment: str
    seed: int
    options: dict[str, Any]
    results: dict[str, float | None]
    items: dict[str, Any]
    """scores of single items, see `Run.items`"""


def read(path: str | Path) -> Record:
    """Read a run folder as plain values. Raises `GenkitError`."""
    folder = _run_folder(path)
    name, options, _, seed = read_plain(folder / "config.yaml")
    items = folder / "items.npz"
    return Record(name, seed, options, report.results(folder), read_arrays(items) if items.exists() else {})


def _run_folder(path: str | Path) -> Path:
    folder = Path(path)
    if not is_run(folder):
        raise UsageError(f"{folder} is no run folder: it has no config.yaml; `genkit run` makes one")
    check_plain(folder)
    return folder


def _shared_folder(name: str, seed: int, out: str | Path | None) -> Path:
    """The folder of the run, chosen by process 0 and told to the others."""
    from genkit.parallel import broadcast_text, is_main

    if out is None:
        return Path(broadcast_text(str(claim(name, seed)) if is_main() else ""))
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; expected a folder")
    strange = [] if not folder.exists() or (folder / "config.yaml").exists() else sorted(folder.iterdir())
    if strange:
        raise UsageError(f"--out {folder} is not empty and no run folder ({strange[0].name}); choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenkitError(f"cannot make the run folder {folder}: {error.strerror}; choose another --out") from error
    return folder
