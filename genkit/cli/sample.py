"""`genkit sample`: draw from a trained model, under the conditions that it understands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genkit.errors import UsageError


@dataclass(frozen=True)
class SampleOptions:
    """Options beside those of the model."""

    n: int | None = None
    """Number of samples; 16 where neither this nor the conditions say it."""
    seed: int = 0
    """Seed of the draw."""
    chunk: int = 256
    """Samples drawn at once: more is faster, less needs less memory. Results do not depend on it."""
    out: Path | None = None
    """File to write; samples-<seed>.npz in the run folder, or here for the folder of a model, if not given."""
    trust: bool = False
    """Allow the model to name own code (module:Class)."""


@dataclass(frozen=True)
class Sample:
    """Draw from a trained model: the folder of a run or of a model."""

    path: Path
    source: Any
    """the trained model, or a run whose experiment draws itself"""
    request: Any = None
    options: SampleOptions = field(default_factory=SampleOptions)

    @classmethod
    def parse(cls, words: list[str]) -> Sample:
        """Parse ``MODEL [options]``; which conditions there are depends on the model."""
        if not words or words[0].startswith("-"):
            print("usage: genkit sample MODEL [options]\n\nMODEL: folder of a run or of a trained model")
            print("`genkit sample MODEL --help` shows the conditions and methods of that model")
            raise SystemExit(0 if words and words[0] in ("-h", "--help") else 2)
        from genkit.experiment import check_seed, parse, set_up

        set_up()
        path, rest = Path(words[0]), words[1:]
        source, request, own = _opened(path, trust="--trust" in rest)
        made, options = parse(request, rest, "default", own, f"genkit sample {path}", SampleOptions)
        check_seed(options.seed)
        for name in ("n", "chunk"):
            if (value := getattr(options, name)) is not None and value < 1:
                raise UsageError(f"--{name} {value} is too few; expected at least 1")
        return cls(path, source, made, options)

    def run(self) -> None:
        """Draw and write."""
        import jax

        from genkit.experiment import held, is_run
        from genkit.parallel import all_devices

        options, n = self.options, self.request.count(self.source)
        if n is not None and options.n is not None:
            raise UsageError(f"--n {options.n}: the files say how many there are, {n}; leave it out")
        if n == 0:
            raise UsageError("the files have no rows; nothing is drawn")
        n = n or options.n or 16
        inside = options.out is None and is_run(self.path)
        file = options.out or (self.path if inside else Path()) / f"samples-{options.seed}.npz"
        writer = self.request.writer(file, self.source)
        with held(self.path) if inside else contextlib.nullcontext(), all_devices():
            for piece in self.request(self.source, jax.random.key(options.seed), n, options.chunk):
                writer.write(piece)
            print(f"{file}: {writer.close()}")


def of_run() -> Any:
    """The request for a run whose experiment draws samples itself."""
    from genkit.model import Piece, Request, named

    @dataclass(frozen=True)
    class OfRun(Request):
        """Samples of a run."""

        def __call__(self, model: Any, key: Any, n: int, chunk: int = 0) -> Iterator[Piece]:
            yield named(model.sample(key, n))

    return OfRun()


def _opened(path: Path, trust: bool) -> tuple[Any, Any, str]:
    """What draws, its request, and the plugin whose short names its options take."""
    from genkit import model
    from genkit.experiment import load

    if model.located(path):
        trained = model.load(path, trust)
        request = model.request_of(trained)
        return trained, request(), _plugin(trained, request)
    run = load(path, trust)
    run.require("train")
    return run, of_run(), run.name.partition(".")[0]


def _plugin(trained: Any, request: type) -> str:
    """That of the recipe; of imported weights and own recipes that in whose package the request is."""
    from genkit.kinds import KINDS
    from genkit.plugin import registry

    plugin, dot, _ = trained.origin.name.partition(".")
    if dot and plugin in registry().plugins:
        return plugin
    package = request.__module__.partition(".")[0]
    items = (item for kind in KINDS for item in registry().items(kind))
    return next((item.plugin for item in items if item.target.partition(":")[0].partition(".")[0] == package), "core")
