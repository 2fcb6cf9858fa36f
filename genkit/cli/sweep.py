"""`genkit sweep`: a run for each combination of option values."""

from __future__ import annotations

import csv
import fnmatch
import io
import itertools
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genkit import signals
from genkit.errors import GenkitError, UsageError
from genkit.terminal import plural

SHOWN = 6  # results of a run on the screen


@dataclass(frozen=True)
class Options:
    """Run an experiment for each combination of option values.

    All options of `genkit run` are taken; a value with commas is a list of alternatives, and the runs are all
    combinations: `--network.width 32,64 --seed 0,1,2` makes six. An alternative of several words is quoted:
    `--channels "32 64,64 128"`; a comma that is part of a value is written `\\,`. Every run has its own folder
    below --out; sweep.csv collects the results.
    """

    out: Path
    """Folder of the sweep."""
    resume: bool = False
    """Continue the sweep in --out; finished runs are skipped."""
    jobs: int = 1
    """Runs at a time on this machine."""
    only: str = "*"
    """Pattern of the results to show, such as 'rmse/*/6h'."""
    launcher: Literal["local", "slurm"] = "local"
    """Run here, or submit each run as a SLURM job (extra: slurm)."""
    slurm: dict[str, str] = field(default_factory=dict)
    """Parameters of submitit, such as: timeout_min 60 gpus_per_node 1 slurm_partition gpu."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep: the options that vary, and the words of its command line."""

    options: dict[str, str]
    words: list[str]
    folder: Path


@dataclass(frozen=True)
class Sweep:
    """Run an experiment for each combination of option values."""

    experiment: str
    options: Options
    points: list[Point]

    @classmethod
    def parse(cls, words: list[str]) -> Sweep:
        """Parse ``NAME [options]``; every combination is checked before the first run starts."""
        import tyro

        from genkit.cli.run import RunOptions, configured
        from genkit.experiment import differences, read_yaml

        names = [w for w in words[:1] if not w.startswith("-")]
        own, rest = tyro.cli(
            Options, args=words[len(names) :], prog="genkit sweep NAME", return_unknown_args=True, use_underscores=True
        )
        if not names:
            raise UsageError("sweep needs the name of an experiment first; `genkit list` shows them")
        if own.jobs < 1:
            raise UsageError(f"--jobs {own.jobs}: expected at least 1")
        points = [Point(o, w, own.out / _folder(o)) for o, w in combinations(rest)]
        if len({p.folder for p in points}) < len(points):
            raise UsageError("the sweep has the same combination of values twice; give each value once")
        if own.out.exists() and not own.resume and (not own.out.is_dir() or any(own.out.iterdir())):
            raise UsageError(f"{own.out} is there and not empty; give --resume to continue it, or another --out")
        for point in points:
            config, options = configured("run", [names[0], *point.words], RunOptions)
            if options.dry_run:
                raise UsageError(
                    "sweep has no --dry_run: it checks all combinations first; `genkit run` has it for one"
                )
            file = point.folder / "config.yaml"
            if file.exists() and (changed := differences(read_yaml(file, trust=True)[0], config)):
                raise UsageError(
                    f"{point.folder} was run with another configuration ({changed[0]}); choose another --out"
                )
        return cls(names[0], own, points)

    def run(self) -> int:
        """Run what is not finished, write the table; 1 if a run failed."""
        todo = [p for p in self.points if _state(p.folder) != "done"]
        print(
            f"{plural(len(self.points), 'run')} in {self.options.out}, {len(self.points) - len(todo)} of them finished"
        )
        try:
            self.options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GenkitError(f"cannot make {self.options.out}: {error.strerror}; choose another --out") from error
        if todo and self.options.launcher == "slurm":
            _submit(self, todo)
        elif todo:
            with signals.postponed():
                _work(self, todo)
        table(self)
        return int(any(_state(p.folder) != "done" for p in self.points))

    def command(self, point: Point) -> list[str]:
        """The command line of a run."""
        words = [self.experiment, *point.words, "--out", str(point.folder), "--resume"]
        # -P: a clone beside which one works, called genkit as the package is, would hide it
        return [sys.executable, "-P", "-m", "_genkit_jax", "run", *words]


def combinations(words: list[str]) -> Iterator[tuple[dict[str, str], list[str]]]:
    """All combinations of the comma lists in command-line words: the values that vary, and the words.

    >>> list(combinations(["--seed", "0,1", "--a", "2"]))[1]
    ({'seed': '1'}, ['--seed', '1', '--a', '2'])
    """
    option, choices = "", []
    for word in words:
        head = ""
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            if not equals:
                choices.append([(None, "", [word])])
                continue
            head, word = f"--{option}=", value
        values = [v.replace("\\,", ",") for v in re.split(r"(?<!\\),", word)]
        if "" in values and len(values) > 1:
            raise UsageError(f"--{option} {word}: an empty value in the list; write the values as a,b,c")
        several = len(values) > 1
        choices.append([(option if several else None, v, _split(v, head) if several else [head + v]) for v in values])
    for combination in itertools.product(*choices):
        varied: dict[str, str] = {}
        for key, value, _ in combination:
            if key is not None:
                varied[key] = f"{varied[key]} {value}" if key in varied else value
        yield varied, [w for *_, part in combination for w in part]


def table(sweep: Sweep) -> None:
    """Write sweep.csv, a row for each run with all results, and show the chosen ones."""
    from genkit.experiment import cell, printed
    from genkit.files import read_json, write
    from genkit.terminal import console

    results = [read_json(p.folder / "results.json", {}) for p in sweep.points]
    keys = list(dict.fromkeys(k for p in sweep.points for k in p.options))
    names = list(dict.fromkeys(n for r in results for n in r))
    content = io.StringIO()
    rows = csv.writer(content, lineterminator="\n")
    rows.writerow([*keys, "state", *names, "folder"])
    for p, r in zip(sweep.points, results, strict=True):
        cells = ["" if r.get(n) is None else r[n] for n in names]
        rows.writerow([*(p.options.get(k, "") for k in keys), _state(p.folder), *cells, p.folder.name])
    file = sweep.options.out / "sweep.csv"
    write(file, content.getvalue())
    wanted = [n for n in names if fnmatch.fnmatch(n, sweep.options.only)]
    shown = [
        [p.folder.name, _state(p.folder), *(cell(r.get(n)) for n in wanted[:SHOWN])]
        for p, r in zip(sweep.points, results, strict=True)
    ]
    screen = console()
    for part in printed(["", "state", *wanted[:SHOWN]], shown, "results", screen.width, left=["state"]):
        screen.print(part)
    more = f" ({plural(len(wanted) - SHOWN, 'more result')} in it; --only chooses)" if len(wanted) > SHOWN else ""
    print(f"table: {file}{more}")
    if "seed" in keys:
        print(f"means over the seeds: genkit compare {shlex.quote(str(sweep.options.out))}")


def _work(sweep: Sweep, todo: list[Point]) -> None:
    """Run local processes, some at a time; on an interrupt they are told to save and stop.

    Each has a process group of its own: from a terminal it would hear of the interrupt twice, and stop at once.
    """
    active: dict[int, tuple[Point, Any, float]] = {}
    waiting = list(todo)
    try:
        while waiting or active:
            while waiting and len(active) < sweep.options.jobs:
                point = waiting.pop(0)
                print(f"  {point.folder.name}: started", flush=True)
                with _log(point).open("w") as log:
                    process = subprocess.Popen(
                        sweep.command(point), stdout=log, stderr=subprocess.STDOUT, process_group=0
                    )
                active[process.pid] = point, process, time.monotonic()
            for pid, (point, process, start) in list(active.items()):
                if process.poll() is not None:
                    del active[pid]
                    _tell(point, process.returncode, time.monotonic() - start)
            time.sleep(0.1)
            signals.check()
    finally:
        for _, process, _ in active.values():
            process.terminate()
        for _, process, _ in active.values():
            process.wait()


def _submit(sweep: Sweep, todo: list[Point]) -> None:
    """Submit SLURM jobs and wait for them; after an interrupt they go on and --resume collects them."""
    try:
        import submitit  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GenkitError("--launcher slurm needs submitit; python -m pip install submitit") from None
    try:
        executor = submitit.AutoExecutor(folder=sweep.options.out / "slurm", cluster="slurm")
        executor.update_parameters(
            name="genkit-sweep", **{k: int(v) if v.isdigit() else v for k, v in sweep.options.slurm.items()}
        )
        jobs = [executor.submit(submitit.helpers.CommandFunction(sweep.command(p))) for p in todo]
    except Exception as error:  # submitit raises what it likes for wrong parameters and refused jobs
        raise GenkitError(f"SLURM took no jobs: {str(error).splitlines()[0]}; see --slurm and `sinfo`") from error
    print("jobs " + " ".join(str(job.job_id) for job in jobs) + "; waiting (they go on if this is interrupted)")
    start = time.monotonic()
    for job, point in zip(jobs, todo, strict=True):
        failed = job.exception() is not None
        _tell(point, int(failed), time.monotonic() - start, job.paths.stderr)


def _tell(point: Point, code: int, seconds: float, log: Path | None = None) -> None:
    log = log or _log(point)
    if code == 0:
        print(f"  {point.folder.name}: done after {seconds:.0f} s", flush=True)
        return
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    print(f"  {point.folder.name}: failed with {code}: {(lines or ['no output'])[-1]} ({log})", flush=True)


def _log(point: Point) -> Path:
    return point.folder.with_name(point.folder.name + ".log")


def _state(folder: Path) -> str:
    from genkit.files import read_json

    return read_json(folder / "status.json", {}).get("state", "not run")


def _folder(options: dict[str, str]) -> str:
    """A readable name for a run's folder."""
    text = ",".join(f"{key}={value}" for key, value in options.items()) or "run"
    name = "".join(c if c.isalnum() or c in "._-+=," else "-" for c in text)
    if len(name) <= 120 and name == text:
        return name
    import hashlib  # two values may look alike once they are shortened

    return f"{name[:120]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _split(value: str, head: str) -> list[str]:
    if head:
        return [head + value]
    try:
        return shlex.split(value)
    except ValueError as error:
        raise UsageError(f"{value!r} cannot be split into words ({error}); check its quotes") from None
