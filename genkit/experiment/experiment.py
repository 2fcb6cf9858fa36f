"""The base class of experiments: a configuration that knows its own stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from genkit.errors import GenkitError
from genkit.experiment.run import Run
from genkit.kinds import check_preset


@dataclass(frozen=True)
class Experiment:
    """A study that the toolkit can run; fields are its options, this docstring its help.

    The stages are called in the order in which they stand here; each but `evaluate` may be left out. A
    finished stage is not repeated when a run is resumed, so a stage hands on what it made through files of
    the run folder, through `run.fit` (which restores finished trainings) and through `run.once`.
    """

    headline: ClassVar[str] = ""
    """pattern of the results that say most, which come first: ``rmse/*/24h``"""
    later: ClassVar[tuple[str, ...]] = ()
    """patterns of the options that say nothing of training: `genkit evaluate RUN --hull FILE` may change them"""

    @classmethod
    def preset(cls, name: str) -> Self:
        """The configuration of a preset: ``tiny``, ``default`` or ``paper``."""
        check_preset(name, ("default",))
        return cls()

    def plan(self) -> dict[str, str]:
        """Shapes and memory for ``--dry_run``, name -> text, without data or training."""
        return {}

    def prepare(self, run: Run) -> None:
        """Find, fetch or generate the data."""

    def train(self, run: Run) -> None:
        """Train by one or several ``run.fit(Phase(...))``."""

    def sample(self, run: Run) -> None:
        """Draw samples and write them to the run folder."""

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Return the results, flat name -> number; None where a figure has no value."""
        raise NotImplementedError(f"{type(self).__name__} needs a method evaluate(run)")

    def report(self, run: Run) -> None:
        """Make figures and tables by ``run.figure`` and ``run.table``."""

    def denoiser(self, run: Run) -> Any:
        """The trained denoiser of a run."""
        raise GenkitError(f"{run.name} trains no denoiser")

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """Draw n samples from the model of a run."""
        raise GenkitError(f"{run.name} draws no samples")
