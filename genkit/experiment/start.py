"""Start a run, or open one that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from genkit.data import Absent, only_looking
from genkit.errors import GenkitError, UsageError
from genkit.experiment import environment
from genkit.experiment.config import config as configure
from genkit.experiment.config import differences, read_yaml, starting_preset, write_yaml
from genkit.experiment.folder import Status, claim, is_run
from genkit.experiment.ranges import check_ranges
from genkit.experiment.run import Run
from genkit.experiment.slots import own_functions, recipes, walk
from genkit.files import check_plain, write
from genkit.kinds import Experiment
from genkit.plugin import registry
from genkit.terminal import console, is_watched


def run(
    config: Any,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    preset: str | None = None,
    prepare: Callable[[Run], None] | None = None,
    trust: bool = False,
    progress: bool = True,
    loggers: Sequence[Callable[[Path], Any]] = (),
) -> Run:
    """Run an experiment, by its name and a preset or as `genkit.config` made it, and return the finished run.

    A new folder ``runs/<name>/<time>-<seed>`` is claimed, or `out` is used: it must be new or empty unless
    `resume`, which starts, continues or finds it done, and refuses a folder of another configuration. Of a
    configuration, `preset` is what the run says it began with, and changes no option: that given to `genkit.config`,
    unless it is given here; a copy made by `dataclasses.replace` says the preset from which it differs least.
    `prepare(run)` sets what is outside the configuration (console, time between checkpoints, command). `loggers` make
    a logger of the folder each, in process 0, once config.yaml is there. A restored model of own code needs `trust`.
    With `progress`, tables and progress are shown in a terminal or a notebook, and nowhere else. Raises `GenkitError`.
    """
    from genkit.parallel import is_main

    config = configure(config, preset or "default") if isinstance(config, str) else config
    if isinstance(config, type) or not isinstance(config, Experiment):
        raise UsageError(f"run takes the name of an experiment or what genkit.config made, got {config!r:.60}")
    preset = preset or starting_preset(config)
    check_seed(seed)
    check_ranges(config)
    environment.set_up()
    name = registry().name_of("experiments", type(config))
    if out is None or not is_run(Path(out)):
        check_restored(config, trust)
        _check_files(config)
    folder = _shared_folder(name, seed, out)
    this = Run(config, folder, seed, preset, may_train=True, trust=trust)
    if progress and is_watched():
        this.console, this.progress = console(), True
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
            return _told(this)
    elif is_main():
        write(file, write_yaml(config, preset, seed))
    this.say(f"{name} (seed {seed}) in {folder}")
    done = False
    try:
        for make in loggers if is_main() else ():
            this.loggers += (make(folder),)
        this.work()
        done = True
    finally:
        for logger in this.loggers:
            logger.close(done)
    return _told(this)


def _told(this: Run) -> Run:
    """The run, once the user knows where its report is."""
    this.say(f"report: {this.folder / 'report.html'}")
    return this


def check_seed(seed: int) -> None:
    """Refuse a seed that two runs could share, as keys have no room for all of it."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise UsageError(f"seed={seed!r} is no whole number; expected 0 to {2**31 - 1}")
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed={seed} is out of range; expected 0 to {2**31 - 1}")


def check_restored(config: Any, trust: bool = False) -> None:
    """Refuse options that restored models cannot take, changed models, and untrusted own code in them."""
    for recipe, names in recipes(config):
        recipe.check_restored(names, trust)
        if recipe.restore and not trust and (functions := own_functions(recipe)):
            raise UsageError(f"the model {recipe.restore} runs code of its own ({functions[0]}); give --trust if you "
                             "trust it")  # fmt: skip


def _check_files(config: Any) -> None:
    """Refuse data sets whose own files are not named or not there; nothing is fetched or made."""
    for option in walk(config):
        for part, _ in option.parts if option.slot and option.slot.kind == "datasets" else ():
            where = next((f for name in ("path", "files") if callable(f := getattr(part, name, None))), None)
            if where:
                with contextlib.suppress(Absent), only_looking():
                    where()


def load(path: str | Path, trust: bool = False) -> Run:
    """Open a run folder: ``.config .results .figures .model .sample(key, n)``.

    Executes nothing of the folder; one whose configuration names own code (``module:Class``) needs `trust`.
    """
    folder = Path(path)
    if not is_run(folder):
        raise UsageError(f"{folder} is no run folder: it has no config.yaml; `genkit run` makes one")
    check_plain(folder)
    config, preset, seed = read_yaml(folder / "config.yaml", trust)
    return Run(config, folder, seed, preset, trust=trust)


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
