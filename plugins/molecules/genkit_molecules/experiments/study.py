"""What the studies of the plugin share: data, a model, samples by several methods, scores."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.files import read_json, write_json
from genkit.kinds import Dataset, Model, check_preset
from genkit.model import joined
from genkit_molecules.experiments import steering
from genkit_molecules.models import Method, drawn, in_two, inputs, tested


class Study(Experiment):
    """Learn molecules or sequences, sample them by each method, and score the samples; subclasses have the fields."""

    headline = "validity/*"

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
        recipe: Any = self.model
        if getattr(self, "look_ahead", None) and not (discrete := recipe.generator.discrete()).ordered:
            raise UsageError(f"look_ahead weighs all values of the next site, and {discrete.name} moves all sites at "
                             "once; leave it out")  # fmt: skip

    def items(self, run: Run) -> Any:
        """The data, loaded once."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Read the data and tell what of it is used."""
        items = self.items(run)
        run.say(str(items))
        for line in items.notes.lines():
            run.say(f"  {line}")

    def train(self, run: Run) -> None:
        """Train the model, or restore it."""
        run.trained("model", lambda: self.items(run))

    def methods(self, run: Run) -> list[str]:
        """Names of what is sampled."""
        return [run.model.discrete.name]

    def sample(self, run: Run) -> None:
        """Draw by every method and write; note what is told of the draws."""
        said = {}
        for name in self.methods(run):
            pieces, seconds = [], [time.perf_counter()]
            for piece in self.drawn(run, name):
                pieces.append(piece)
                seconds.append(time.perf_counter())
            found = joined(pieces)
            self.kind.write(run.folder, name, run.model.layout.texts(found["samples"], found["size"], run.say))
            later = self.samples - len(pieces[0]["size"])  # the first piece compiled
            said[name] = told(found) | {"rate": later / (seconds[-1] - seconds[1]) if later else None}
            if lost := said[name].get("collapsed"):
                run.say(f"{name}: the weights of {lost:.1%} of the groups of particles vanished; their samples are not "
                        "to be trusted")  # fmt: skip
        write_json(run.folder / "draws.json", said)

    def drawn(self, run: Run, name: str) -> Any:
        """Pieces of the samples of a method."""
        steering = {k: getattr(self, k) for k in ("strength", "look_ahead") if hasattr(self, k)}
        if steering.get("look_ahead") is None:
            steering |= {"look_ahead": run.model.generator.discrete.ordered}
        method, n = Method.named(name, run.model), self.samples
        return drawn(run.model, run.key("sample"), n, method, in_two(n), **steering)

    def denoiser(self, run: Run) -> Any:
        """The network of the generator."""
        return run.model.generator.denoiser

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n samples of the model alone, arrays by name; `run.model.sample` takes methods."""
        return run.model.sample(key, n)

    def read(self, run: Run) -> dict[str, Any]:
        """What the methods drew, as text; None where invalid."""
        return {name: self.kind.read(run.folder, name) for name in self.methods(run)}

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """<score>/<method> of the samples; bound/test, the model's bound on test items, nats an item.

        rate/<method> is samples a second without compilation. Of particles also log_z/<method>, log of the mean
        estimate of E[W(x)] under the model, ess/<method>, the mean effective sample size, and collapsed/<method>, the
        share of groups whose weights vanished. Of a model that steers to a property also `steering.scores`.
        """
        items, generator = self.items(run), run.model.generator
        bound = None
        if items.texts("test"):
            x, cond = inputs(tested(items), jax.random.key(1))
            bound = float(jax.jit(generator.bound)(jax.random.key(0), x, cond))
        samples = self.read(run)
        results = self.kind.scores(items, samples, bound)
        said = read_json(run.folder / "draws.json", {})
        results |= {f"{kind}/{name}": value for name, one in said.items() for kind, value in one.items()}
        return results | (
            steering.scores(run.config.model, run.model, samples) if getattr(run.model, "wanted", "") else {}
        )

    def report(self, run: Run) -> None:
        """A table of the scores, pictures of samples and of data, the distribution of a property that is steered to."""
        self.kind.show(run, self.items(run), self.read(run))
        if getattr(run.model, "wanted", ""):
            steering.show(run.config.model, run, self.items(run), self.read(run))


def sized(name: str, tiny: Any, paper: Any = None) -> dict[str, Any]:
    """Number of samples and data of a preset, where these are not the default ones."""
    check_preset(name)
    known = {"tiny": {"data": tiny, "samples": 40}, "paper": {"samples": 10_000} | ({"data": paper} if paper else {})}
    return known.get(name, {})


def told(found: dict[str, np.ndarray]) -> dict[str, float | None]:
    """What the particles say of a method, as means over its groups."""
    if "log_z" not in found:
        return {}
    log_z = found["log_z"].astype(float)
    top = log_z.max()
    return {
        "log_z": float(top + np.log(np.mean(np.exp(log_z - top)))) if np.isfinite(top) else None,
        "ess": float(found["ess"].mean()),
        "collapsed": float(found["collapsed"].mean()),
    }
