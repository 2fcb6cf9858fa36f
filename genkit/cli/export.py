"""`genkit export`: a trained model in a form that others read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError, UsageError

USAGE = """usage: genkit export MODEL [--to FORMAT] [--out PATH] [options]

MODEL: folder of a run or of a trained model
FORMAT: npz (the default), safetensors, or that of another package
`genkit export MODEL --to FORMAT --help` shows the options of that format; `genkit list formats` shows all"""


@dataclass(frozen=True)
class ExportOptions:
    """Options beside those of the format."""

    to: str = "npz"
    """Format."""
    out: Path | None = None
    """File or folder to write; parameters.npz or .safetensors in the run folder, or here for the folder of a model, if
    not given."""
    trust: bool = False
    """Allow the model to name own code (module:Class)."""


@dataclass(frozen=True)
class Export:
    """Write a trained model in another format."""

    model: Path
    format: Any = None
    options: ExportOptions = field(default_factory=ExportOptions)

    @classmethod
    def parse(cls, words: list[str]) -> Export:
        """Parse ``MODEL [--to FORMAT] [options]``; which options there are depends on the format."""
        if not words or words[0].startswith("-"):
            print(USAGE)
            raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
        from genkit.cli.import_ import format_named
        from genkit.experiment import parse

        path, rest = Path(words[0]), words[1:]
        named = [two for one, two in pairwise(rest) if one == "--to"]
        name = [*(w.removeprefix("--to=") for w in rest if w.startswith("--to=")), *named, "npz"][0]
        format, own = format_named(name)
        made, options = parse(format, rest, "default", own, f"genkit export {path} --to {name}", ExportOptions)
        return cls(path, made, options)

    def run(self) -> None:
        """Write it."""
        import jax

        from genkit.experiment import held, is_run, set_up

        set_up()
        source, text = self._source()
        if not jax.tree.leaves(source):
            raise GenkitError(f"the denoiser of {self.model} is a closed form: it has no parameters to export")
        options, ending = self.options, self.format.ending
        if options.out is None and not ending:
            raise UsageError(f"--to {options.to} needs --out PATH")
        if options.out is not None and ending and options.out.suffix != ending:
            raise UsageError(f"--out {options.out}: --to {options.to} writes files that end in {ending}")
        inside = options.out is None and is_run(self.model)
        out = options.out or (self.model if inside else Path()) / f"parameters{ending}"
        with held(self.model) if inside else contextlib.nullcontext():
            print(f"{out}: {self.format.write(source, out, text)}")

    def _source(self) -> tuple[Any, Path]:
        """What holds the arrays, and the text that explains them."""
        from genkit import model
        from genkit.experiment import load, main_model

        trust = self.options.trust
        if model.located(self.model):
            return model.load(self.model, trust), model.find(self.model) / "model.yaml"
        run = load(self.model, trust)
        run.require("train")
        has_model = main_model(type(run.config)) is not None  # then this says what became of it
        return run.model if has_model else run.denoiser, self.model / "config.yaml"
