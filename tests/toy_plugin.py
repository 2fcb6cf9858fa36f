"""A plugin for the tests: an experiment with an option of every kind, quick because it computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.experiment import Experiment
from genkit.kinds import Dataset, Network, Sampler
from genkit.plugin import Plugin


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

    number: int = 1
    """what is doubled"""
    rate: float | None = None
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


plugin = Plugin(
    name="toy",
    summary="for tests",
    experiments={"study": ("toy_plugin:Study", "double a number")},
    datasets={"points": ("toy_plugin:Points", "points in a file"), "gone": ("nowhere:Gone", "not importable")},
    samplers={"slow": ("toy_plugin:Slow", "slow"), "corrected": ("toy_plugin:Corrected", "around another")},
    networks={"net": ("toy_plugin:Net", "a network")},
)
