"""What the studies of the plugin share: data, a model, samples by several methods, scores."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import jax

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_json
from genkit.kinds import Dataset, Model
from genkit_molecules.models.recipe import inputs, tested
from genkit_molecules.models.trained import by_size, drawer
from genkit_molecules.rows import Rows


class Study(Experiment):
    """Learn molecules or sequences, sample them by each method, and score the samples; subclasses have the fields."""

    data: Dataset
    model: Model
    samples: int
    kind: ClassVar[Any]
    """the module that knows files, scores and pictures of what is learned: `molecules` or `sequences` here"""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.samples < 1:
            raise UsageError(f"samples={self.samples} is too few; expected at least 1")
        particles = getattr(self, "particles", (1,))
        if not particles or min(particles) < 1:
            raise UsageError(f"particles={particles}; expected numbers of at least 1")

    def items(self, run: Run) -> Any:
        """The data, loaded once."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Read the data and tell what of it is used."""
        items = self.items(run)
        run.say(str(items))
        for why, count in items.dropped.items():
            run.say(f"  dropped: {count} ({why})")

    def train(self, run: Run) -> None:
        """Train the model, or restore it."""
        run.trained("model", lambda: self.items(run))

    def methods(self, run: Run) -> list[str]:
        """Names of what is sampled."""
        return [run.model.discrete.name]

    def drawer(self, run: Run, name: str) -> Any:
        """method(key, sampler, (count, D)) -> rows of a method."""
        return drawer(run.model, name)

    def drawn(self, run: Run, key: Any, n: int, name: str) -> Sequence[Rows]:
        """n items of a method, by their size."""
        return by_size(run.model.generator, run.seed, key, n, self.drawer(run, name))

    def sample(self, run: Run) -> None:
        """Draw by every method and write."""
        layout, seconds = run.model.layout, {}
        for name in self.methods(run):
            begun = time.perf_counter()
            groups = self.drawn(run, run.key("sample"), self.samples, name)
            seconds[name] = time.perf_counter() - begun
            self.kind.write(run.folder, name, [text for g in groups for text in layout.texts(g.x, run.say)])
        write_json(run.folder / "seconds.json", seconds)

    def read(self, run: Run) -> dict[str, Any]:
        """What the methods drew, as text; None where invalid."""
        return {name: self.kind.read(run.folder, name) for name in self.methods(run)}

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """<score>/<method> of the samples; bound/test, the model's bound on test items, nats an item.

        rate/<method> is samples a second, compilation included.
        """
        items, generator = self.items(run), run.model.generator
        bound = None
        if items.texts("test"):
            x, cond = inputs(tested(items), jax.random.key(1))
            bound = float(jax.jit(generator.bound)(jax.random.key(0), x, cond))
        results = self.kind.scores(items, self.read(run), bound)
        seconds = json.loads((run.folder / "seconds.json").read_text())
        return results | {f"rate/{name}": self.samples / taken for name, taken in seconds.items()}

    def report(self, run: Run) -> None:
        """A table of the scores, pictures of samples and of data."""
        self.kind.show(run, self.items(run), self.read(run))
