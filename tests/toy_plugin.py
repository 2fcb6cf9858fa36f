"""A plugin for the tests: an experiment with an option of every kind, quick because it computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.experiment import Experiment
from genkit.kinds import SIGNED, ZERO, Dataset, Model, Network, Sampler
from genkit.model import Format, Recipe, Request, Trained
from genkit.plugin import Plugin
from genkit.tree import register_dataclass


@dataclass(frozen=True)
class Levels:
    """Noise levels."""

    low: float = 1e-3
    spacing: Literal["linear", "log"] = "log"


@dataclass(frozen=True)
class Slow:
    """A sampler with presets and a nested dataclass."""

    steps: int = 100
    levels: Levels = field(default_factory=Levels)

    @classmethod
    def preset(cls, name: str) -> Slow:
        return cls(steps=2) if name == "tiny" else cls()

    def model(self, denoiser: Any, shape: Any, cond: Any = None) -> None: ...


@dataclass(frozen=True)
class Corrected:
    """A sampler around another one."""

    base: Sampler = field(default_factory=Slow)
    inner: Sampler | None = None
    strength: float = 0.5

    def model(self, denoiser: Any, shape: Any, cond: Any = None) -> None: ...


@dataclass(frozen=True)
class Points:
    """Points in a file."""

    file: Path = Path("points.npy")

    def path(self) -> Path:
        return self.file

    def load(self) -> np.ndarray:
        if not self.file.exists():
            raise DataError(f"{self.file} does not exist; expected an array (n, 2)")
        return np.load(self.file)


@dataclass(frozen=True)
class Net:
    """A network."""

    width: int = 8

    def build(self, rngs: Any, *sizes: Any, **named: Any) -> None: ...


@dataclass(frozen=True)
class Study(Experiment):
    """Double a number.

    The rest of the help.
    """

    number: Annotated[int, ZERO] = 1
    """what is doubled"""
    rate: Annotated[float | None, SIGNED] = None
    flag: bool = False
    label: str = "x"
    mode: Literal["good", "fail", "bug", "stop"] = "good"
    file: Path | None = None
    sizes: tuple[int, ...] = (1, 2)
    pairs: tuple[tuple[int, float], ...] = ((1, 0.5),)
    weights: dict[str, float] = field(default_factory=lambda: {"a": 1.0})
    sampler: Sampler = field(default_factory=Slow)
    extra: Sampler | None = None
    network: Network = field(default_factory=Net)
    data: Dataset = field(default_factory=Points)

    @classmethod
    def preset(cls, name: str) -> Study:
        if name not in ("tiny", "default"):
            raise UsageError(f"toy.study has no preset {name!r}; it has tiny and default")
        return cls(number=0, sampler=Slow.preset(name)) if name == "tiny" else cls()

    def __post_init__(self) -> None:
        if self.number < 0:
            raise UsageError(f"number={self.number} must not be negative")

    def plan(self) -> dict[str, str]:
        return {"memory": "none"}

    def train(self, run: Any) -> None:
        with (run.folder / "calls.txt").open("a") as calls:
            calls.write("train\n")

    def sample(self, run: Any) -> None:
        if self.mode == "fail":
            raise DataError("the data are bad; mend them")
        if self.mode == "bug":
            raise ZeroDivisionError("a bug\nof two lines")
        if self.mode == "stop" and not (run.folder / "again").exists():
            (run.folder / "again").touch()
            raise KeyboardInterrupt

    def evaluate(self, run: Any) -> dict[str, float | None]:
        return {"double/x": 2 * self.number, "seed": run.seed, "undefined": None, "infinite": float("inf")}

    def report(self, run: Any) -> None:
        run.table("results", ["name", "value"], [["double", run.results["double/x"]]], "Results")

    def denoiser(self, run: Any) -> Any:
        return {"params": {"w": np.arange(3.0), "b": [np.float32(2)]}} if self.flag else {}

    def draw(self, run: Any, key: Any, n: int) -> np.ndarray:
        return np.full((n, 2), self.number)


@dataclass(frozen=True)
class Numbers:
    """Numbers whose mean is learned."""

    count: int = 4
    mean: float = 2.0

    def load(self) -> Sample:
        return Sample(np.full(self.count, self.mean, np.float32))


@dataclass(frozen=True)
class Sample:
    """Some numbers."""

    x: np.ndarray


@dataclass(frozen=True)
class Noise:
    """A component of a model."""

    scale: float = 0.5

    def model(self, denoiser: Any, shape: Any, cond: Any = None) -> None: ...


@dataclass(frozen=True)
class Ask(Request):
    """Draw, shifted."""

    shift: float = 0.0

    def __call__(self, model: Any, key: Any, n: int, chunk: int = 2) -> Any:
        for lo in range(0, n, chunk):
            rows = np.arange(lo, min(lo + chunk, n), dtype=np.float32)
            yield {"samples": np.asarray(model.params["mean"]) + self.shift + model.noise.scale * rows}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class MeanModel(Trained):
    """A number."""

    request: ClassVar[type[Request]] = Ask

    params: Any
    noise: Any = field(metadata={"static": True})
    width: int = field(metadata={"static": True})


@dataclass(frozen=True, kw_only=True)
class Mean(Recipe):
    """Learn the mean of numbers by gradient descent."""

    fixed: ClassVar[tuple[str, ...]] = ("width", "steps")
    used: ClassVar[tuple[str, ...]] = ("noise",)

    steps: int = 3
    """steps of the descent"""
    rate: float = 0.5
    """its rate"""
    width: int = 8
    """of no use"""
    noise: Sampler = field(default_factory=Noise)
    """what is added to the mean"""

    def fit(self, run: Any, data: Sample, start: MeanModel | None = None) -> MeanModel:
        import jax.numpy as jnp

        from genkit.train import Phase

        def init(key: Any) -> Any:
            return {"mean": jnp.float32(0)} if start is None else start.params

        def step(state: Any, batch: Any, key: Any) -> Any:
            error = state["mean"] - data.x.mean()
            return {"mean": state["mean"] - self.rate * error}, {"loss": error**2}

        steps = self.steps if start is None else self.finetune
        params = run.fit(Phase("mean", init, step, None, steps))
        return MeanModel(params, self.noise, self.width)


@dataclass(frozen=True, kw_only=True)
class Doubled(Recipe):
    """Twice the mean that another recipe learns."""

    fixed: ClassVar[tuple[str, ...]] = ("base",)

    base: Model[Sample, MeanModel] = field(default_factory=Mean)
    """what is doubled"""

    def fit(self, run: Any, data: Sample, start: MeanModel | None = None) -> MeanModel:
        base = self.base.obtain(run, data, run.trust)  # type: ignore[attr-defined]
        return MeanModel({"mean": 2 * base.params["mean"]}, base.noise, base.width)


@dataclass(frozen=True)
class Fitted(Experiment):
    """A study of a model."""

    data: Dataset[Sample] = field(default_factory=Numbers)
    """the numbers"""
    model: Model[Sample, MeanModel] = field(default_factory=Mean)
    """what is learned"""
    other: Model[Sample, MeanModel] | None = None
    """a second model"""
    stop: bool = False
    """fail after training"""

    def train(self, run: Any) -> None:
        for slot in ("model", "other"):
            if getattr(self, slot) is not None:
                run.trained(slot, self.data.load)
        if self.stop and not (run.folder / "again").exists():
            (run.folder / "again").touch()
            raise KeyboardInterrupt

    def evaluate(self, run: Any) -> dict[str, float | None]:
        return {"mean": float(run.model.params["mean"])}

    def draw(self, run: Any, key: Any, n: int) -> Any:
        return run.model.sample(key, n)


@dataclass(frozen=True)
class Text(Format):
    """A mean as one line of text."""

    scale: float = 1.0
    """what it is multiplied by"""

    def read(self, path: Path) -> tuple[Any, Any]:
        try:
            mean = np.float32(path.read_text())
        except ValueError:
            raise DataError(f"{path} holds no number") from None
        return MeanModel({"mean": mean * self.scale}, Noise(), 8), Mean()

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        path.write_text(f"{float(model.params['mean'])}\n")
        return "a number"


plugin = Plugin(
    name="toy",
    summary="for tests",
    experiments={
        "study": ("toy_plugin:Study", "double a number"),
        "fitted": ("toy_plugin:Fitted", "learn a number"),
    },
    models={
        "mean": ("toy_plugin:Mean", "a mean", "toy_plugin:Sample -> toy_plugin:MeanModel"),
        "doubled": ("toy_plugin:Doubled", "twice a mean", "toy_plugin:Sample -> toy_plugin:MeanModel"),
    },
    datasets={
        "points": ("toy_plugin:Points", "points in a file"),
        "numbers": ("toy_plugin:Numbers", "numbers", "toy_plugin:Sample"),
        "gone": ("nowhere:Gone", "not importable"),
    },
    samplers={
        "slow": ("toy_plugin:Slow", "slow"),
        "corrected": ("toy_plugin:Corrected", "around another"),
        "noise": ("toy_plugin:Noise", "noise"),
    },
    networks={"net": ("toy_plugin:Net", "a network")},
    formats={"toy-text": ("toy_plugin:Text", "a number as text")},
)
