"""The kinds of components that a plugin registers, one Protocol each.

A component is a frozen dataclass: its fields are options of the command line, its methods are what the
Protocol of its kind asks for. A field of an experiment that is annotated with one of these Protocols is a
slot: ``--sampler dpmpp_2s`` puts a registered component in it; a tuple of one takes several.

Data sets, networks and models exchange something with their users, and a slot says what: ``Dataset[WeatherData]``
takes what has ``load(self) -> WeatherData``. Annotations are the truth; a registry that repeats them as a third
text, ``("module:Class", "summary", "genkit_weather.data:WeatherData")``, is offered where it fits without an import.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar, TypeVarTuple, runtime_checkable

from genkit.errors import UsageError

PRESETS = ("tiny", "default", "paper")


def check_preset(name: str, known: Collection[str] = PRESETS) -> None:
    """Raise `UsageError` where there is no preset of this name."""
    if name not in known:
        raise UsageError(f"no preset {name!r}; known: {', '.join(known)}")


Taken = TypeVar("Taken", contravariant=True)
Given = TypeVar("Given", covariant=True)
Trained = TypeVar("Trained")
Sizes = TypeVarTuple("Sizes")


@runtime_checkable
class Experiment(Protocol):
    """A configured study; subclass `genkit.experiment.Experiment` for the optional stages."""

    def evaluate(self, run: Any) -> dict[str, float | None]:
        """Return the results of the run, flat name -> number."""
        ...


@runtime_checkable
class Dataset(Protocol[Given]):
    """Data, found, downloaded or generated.

    A data set may have `suggests`, a dict of options of experiments that suit it (``{"steps": 400}``); choosing
    the data set by name sets them in the default preset, before the user's own options, and those of `published`, what
    was published for it, in the preset paper. A method `path()` tells where its files are, None where they
    are not here yet; one of many own files, or with an option called `path`, has `files()`. Both may refuse own files
    that are not there: then a run gets no folder.
    """

    def load(self) -> Given:
        """Return the data in the form of its domain."""
        ...


@runtime_checkable
class Network(Protocol[*Sizes]):
    """A network architecture.

    The types of its sizes tell networks of one use, whose modules are called alike, from those of another: a use that
    numbers and shapes do not tell has a class for its sizes. Modules for one whole number are called
    (x (n, size), c (n,), cond) and give (n, size).
    """

    def build(self, rngs: Any, *sizes: *Sizes) -> Any:
        """Return a module with fresh parameters for the given static sizes."""
        ...


SIGNED = "signed"  # in the annotation of an option: it may be negative
ZERO = "zero"  # in that of a whole number whose default is none: it may be 0
CODE = "code"  # in that of texts: one with a colon, no = before it, names own code, which a file may not without trust
RESTORED = ("restore", "finetune", "fingerprint")  # fields of every recipe that keep the prefix of its slot


@runtime_checkable
class Model(Protocol[Taken, Trained]):
    """A recipe: what is learned and how; subclass `genkit.model.Recipe`."""

    def fit(self, run: Any, data: Taken, start: Trained | None = None) -> Trained:
        """Train on data, from a trained model where one is given, in the folder of a `genkit.experiment.Run`."""
        ...


@runtime_checkable
class Process(Protocol):
    """A Gaussian path x_t = alpha(t) x_0 + sigma(t) eps."""

    def alpha(self, t: Any) -> Any:
        """Signal scale."""
        ...

    def sigma(self, t: Any) -> Any:
        """Noise scale."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A rule that turns noise and a denoiser into samples."""

    def model(self, denoiser: Any, shape: tuple[int, ...], cond: Any = None) -> Any:
        """Return the sampler as a chain (`genkit.chain.Model`) for a batch of this shape."""
        ...


@runtime_checkable
class Operator(Protocol):
    """A measurement of items of any or a certain shape."""

    def build(self, shape: tuple[int, ...]) -> Any:
        """Return the operator (`genkit.steer.Operator`) for items of this shape."""
        ...


@runtime_checkable
class Noise(Protocol):
    """The law of a measurement y given A(x)."""

    def log_prob(self, y: Any, mean: Any) -> Any:
        """Return log p(y | A(x) = mean), (n,), of means (n, m)."""
        ...

    def draw(self, key: Any, mean: Any) -> Any:
        """Return a measurement of A(x) = mean."""
        ...


@runtime_checkable
class Method(Protocol):
    """A rule that turns a denoiser and a measurement into samples of the posterior, such as `DDSMC`."""

    def table(self, process: Any) -> Any:
        """Return its coefficients for a process, a pytree with ``model(denoiser, observation, cond)``."""
        ...

    def calls(self, process: Any) -> int:
        """Return the network calls of one particle."""
        ...


@runtime_checkable
class Graph(Protocol):
    """A graphical model whose normalising constant is wanted. A method `exact()` may know its logarithm."""

    def load(self) -> Any:
        """Return it as one of `genkit.smc`, such as `FactorGraph`, or what has their methods."""
        ...


@runtime_checkable
class Target(Protocol):
    """A density on R^d, known up to a constant that is wanted."""

    def load(self) -> Any:
        """Return it as a callable, x (d,) -> log density (), that knows `dim` and what else is known of it."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """An optimiser with its learning-rate schedule."""

    def build(self, steps: int) -> Any:
        """Return an optax transformation for a training of this many steps."""
        ...


@runtime_checkable
class Benchmark(Protocol):
    """A suite of measurements."""

    def measure(self, profile: str) -> Iterable[Any]:
        """Yield `genkit.bench.Row` and `genkit.bench.Timed`; the profile is ``full`` or ``smoke``."""
        ...


@runtime_checkable
class Command(Protocol):
    """A command of the `genkit` tool; its fields are its options."""

    def run(self) -> int | None:
        """Do it; the value is the exit code (None is 0)."""
        ...


@runtime_checkable
class Logger(Protocol):
    """A sink for the figures and files of a run."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record named numbers at a step."""
        ...

    def artifact(self, path: Path) -> None:
        """Record a file of the run: a figure, the report."""
        ...

    def close(self, done: bool) -> None:
        """Flush and release; the run has ended, `done` or failed or interrupted."""
        ...


@runtime_checkable
class Format(Protocol):
    """Files that hold trained models in another form; subclass `genkit.model.Format`."""

    def read(self, path: Path) -> tuple[Any, Any]:
        """Return the trained model in a file or folder, and its recipe or None."""
        ...

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        """Write a trained model with the text that explains it; return what was written."""
        ...


KINDS: dict[str, type] = {
    "experiments": Experiment,
    "datasets": Dataset,
    "networks": Network,
    "models": Model,
    "processes": Process,
    "samplers": Sampler,
    "operators": Operator,
    "noises": Noise,
    "methods": Method,
    "graphs": Graph,
    "targets": Target,
    "optimizers": Optimizer,
    "benchmarks": Benchmark,
    "commands": Command,
    "loggers": Logger,
    "formats": Format,
}


def singular(kind: str) -> str:
    """One of a kind: ``sampler`` of samplers."""
    return {"processes": "process"}.get(kind, kind.removesuffix("s"))


def text_of(exchange: Any) -> str:
    """A type as registries write it: ``module:Class``, or as in code where it is built in; "" for Any."""
    if exchange is Any or isinstance(exchange, TypeVar):
        return ""
    if isinstance(exchange, type) and typing.get_origin(exchange) is None and exchange.__module__ != "builtins":
        return f"{exchange.__module__}:{exchange.__qualname__}"
    return exchange.__name__ if typing.get_origin(exchange) is None else str(exchange)


EXCHANGES = {"datasets": "load", "networks": "build", "models": "fit"}
"""The method whose annotations say what a component exchanges, by kind."""


def exchanged(kind: str, cls: type) -> tuple[Any, ...]:
    """What a data set gives, a network is built for, or a model takes and gives: the types in its annotations.

    Empty where they are missing, and for kinds that exchange nothing.
    """
    method = EXCHANGES.get(kind)
    if method is None:
        return ()
    try:
        hints = typing.get_type_hints(getattr(cls, method))
    except (NameError, TypeError):  # a name that only a type checker imports
        return ()
    given = hints.pop("return", Any)
    if kind == "datasets":
        found = (given,)
    elif kind == "networks":
        hints.pop("rngs", None)
        found = tuple(hints.values())
    else:
        found = (hints.get("data", Any), given)
    return () if any(text_of(one) == "" for one in found) else found


def signature(kind: str, exchange: tuple[Any, ...]) -> str:
    """Types as one text: ``m:WeatherData -> m:WeatherModel`` of a model, ``a, b`` of others; "" of none."""
    texts = [text_of(one) for one in exchange]
    return "" if not all(texts) else (" -> " if kind == "models" else ", ").join(texts)
