"""`genkit run`: run an experiment, or replay the config.yaml of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.cli.list import List
from genkit.errors import UsageError
from genkit.haste import hasten
from genkit.plugin import registry


@dataclass(frozen=True)
class RunOptions:
    """Options of every run, beside those of the experiment."""

    preset: str = "default"
    """Starting values of the experiment and its components: tiny (compiled in haste, to try), default or paper."""
    seed: int = 0
    """Seed of all random numbers of the run."""
    out: Path | None = None
    """Run folder; without it runs/<name>/<time>-<seed> is made."""
    resume: bool = False
    """Start, continue or leave as done the run in --out."""
    dry_run: bool = False
    """Print configuration, shapes, parameters and operations, and stop."""
    memory: bool = False
    """With --dry_run: compile the training step and the sampler, and print their memory."""
    trust: bool = False
    """Allow a config.yaml to name own code (module:Class)."""
    save_every: float = 60.0
    """Seconds between checkpoints of a training."""
    keep: int = 2
    """Checkpoints of a training that are kept; a run goes on from the newest that is not damaged."""
    shard: bool = False
    """Split parameters, averages and moments of a training over all devices (FSDP); else each has a copy."""
    logger: str = "none"
    """A registered logger beside metrics.jsonl."""


@dataclass(frozen=True)
class Run:
    """Run an experiment, or replay a config.yaml."""

    config: Any
    options: RunOptions = field(default_factory=RunOptions)
    words: tuple[str, ...] = ()
    """of the command line, which the report shows"""

    @classmethod
    def parse(cls, words: list[str]) -> Run:
        """Parse ``NAME|config.yaml [options]`` in two stages (see `genkit.experiment.config`)."""
        return cls(*configured("run", words, RunOptions), ("run", *words))

    def run(self) -> int:
        """Run it, with progress in the terminal."""
        from genkit.experiment import run
        from genkit.terminal import console

        options = self.options
        if options.preset == "tiny":  # made for trying: nearly all of its time is the compiler's
            hasten()
        if options.resume and options.out is None:
            raise UsageError("--resume needs --out DIR, the folder of the run to continue")
        if options.dry_run:
            from genkit.experiment import costs

            return show(self.config, options, costs(self.config, options.seed, options.memory, options.shard))
        if options.memory:
            raise UsageError("--memory belongs to --dry_run, which prints it; give both")

        def prepare(this: Any) -> None:
            this.console, this.progress = console(), True
            this.save_every, this.keep, this.shard = options.save_every, options.keep, options.shard
            this.command = self.words

        loggers = () if options.logger == "none" else (registry().load("loggers", options.logger),)
        where = options.out, options.resume
        run(self.config, options.seed, *where, options.preset, prepare, options.trust, loggers=loggers)
        return 0


def configured(command: str, words: list[str], extra: type) -> tuple[Any, Any]:
    """The configuration and options that follow ``genkit COMMAND NAME|config.yaml``."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: genkit {command} NAME|config.yaml [options]\n\nexperiments:")
        List().run()
        print(f"\n`genkit {command} NAME --help` shows the options of an experiment")
        raise SystemExit(0)
    from genkit.experiment import check_restored, check_seed, is_run, parse, preset_of, read_yaml

    target, words = words[0], words[1:]
    preset = _value(words, "preset", "default")
    if target.endswith((".yaml", ".yml")):
        base, preset, seed = read_yaml(Path(target), trust="--trust" in words)
        target = registry().name_of("experiments", type(base))
        words = ["--seed", str(seed), "--preset", preset, *words]
    else:
        base = preset_of(registry().load("experiments", target), preset)
    own = registry().find("experiments", target).plugin or "core"
    config, options = parse(base, words, preset, own, f"genkit {command} {target}", extra)
    check_seed(options.seed)
    if not 0 < options.save_every < math.inf:
        raise UsageError(f"--save_every {options.save_every}: expected seconds, more than 0")
    if options.keep < 1:
        raise UsageError(f"--keep {options.keep}: expected at least 1")
    if options.out is None or not is_run(options.out):  # a run that is there has its models already
        check_restored(config, options.trust)
    return config, options


def show(config: Any, options: RunOptions, more: dict[str, str] | None = None) -> int:
    """Print the configuration and its plan; `more` of the plan comes after it, or in its place."""
    from genkit.experiment import write_yaml

    print(write_yaml(config, options.preset, options.seed), end="")
    for name, text in (config.plan() | (more or {})).items():
        print(f"# {name}: {text}")
    return 0


def _value(words: list[str], option: str, default: str) -> str:
    for i, word in enumerate(words):
        if word == f"--{option}" and i + 1 < len(words):
            default = words[i + 1]
        elif word.startswith(f"--{option}="):
            default = word.partition("=")[2]
    return default
