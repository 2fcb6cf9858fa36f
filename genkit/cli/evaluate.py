"""`genkit evaluate`: sample and evaluate a run again."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import UsageError


@dataclass(frozen=True)
class EvaluateOptions:
    """Options beside those of the experiment."""

    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""


@dataclass(frozen=True)
class Evaluate:
    """Sample and evaluate a trained run again, and make its report.

    Options of its experiment that say nothing of training may be changed; its config.yaml then says so.
    """

    source: Any
    """the run"""
    config: Any = None
    options: EvaluateOptions = field(default_factory=EvaluateOptions)

    @classmethod
    def parse(cls, words: list[str]) -> Evaluate:
        """Parse ``RUN [options]``; which options there are depends on the experiment."""
        if not words or words[0].startswith("-"):
            print(
                "usage: genkit evaluate RUN [options]\n\nSample and evaluate a trained run again, and make its report."
            )
            print("`genkit evaluate RUN --help` shows the options of that run")
            raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
        from genkit.experiment import differences, load, parse, set_up

        set_up()
        run = load(Path(words[0]), trust="--trust" in words)
        own, later = run.name.partition(".")[0], type(run.config).later
        config, options = parse(run.config, words[1:], "default", own, f"genkit evaluate {words[0]}", EvaluateOptions)
        changed = [one.partition(":")[0] for one in differences(run.config, config)]
        if fixed := [key for key in changed if not any(fnmatch.fnmatch(key, pattern) for pattern in later)]:
            may = f"these may: {', '.join(later)}" if later else "none of this experiment may"
            raise UsageError(f"--{fixed[0]} cannot change in a trained run; {may}; `genkit run` makes another run")
        return cls(run, config, options)

    def run(self) -> None:
        """Work through the last stages."""
        again(self.source, ("sample", "evaluate", "report"), self.config)


def again(run: Any, stages: tuple[str, ...], config: Any = None) -> None:
    """Repeat stages of a run, under another configuration if one is given, with progress in the terminal."""
    from genkit.terminal import console

    run.console, run.progress = console(), True
    run.work(stages, again=True, config=config)
    run.say(f"report: {run.folder / 'report.html'}")
