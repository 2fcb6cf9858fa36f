"""What the studies here share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import Dataset, check_preset
from genkit_representations.datasets import Clusters


@dataclass(frozen=True)
class Study(Experiment):
    """Base of studies on data and a model, with variants of the model beside it."""

    data: Dataset = field(default_factory=Clusters)
    """The data."""

    def loaded(self, run: Run) -> Any:
        """The data."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Load the data once, so that a missing file stops the run here."""
        self.loaded(run)

    def variant(self, run: Run, name: str, recipe: Any, data: Any) -> Any:
        """The trained model of another recipe than the slot's, in a part of the run, once a process."""
        fresh = replace(recipe, restore=None, finetune=0, fingerprint=None)
        part = run.part(f"parts/{name}", salt=f"{name}: ")
        return run.once(f"variant {name}", lambda: fresh.obtain(part, data))


def preset(cls: Any, name: str, presets: Mapping[str, Mapping[str, Any]]) -> Any:
    """An experiment of a preset's options; raises UsageError for an unknown name."""
    check_preset(name, presets)
    return cls(**presets[name])


def at_least(config: Any, least: int, *names: str) -> None:
    """Refuse options that are smaller."""
    for name in names:
        if getattr(config, name) < least:
            raise UsageError(f"{name}={getattr(config, name)} is too few; expected at least {least}")


def summary(rows: Mapping[str, list[float]]) -> dict[str, float]:
    """Means under their names, and standard deviations under name/sd where there are several values."""
    found = {}
    for name, values in rows.items():
        found[name] = float(np.mean(values))
        if len(values) > 1:
            found[f"{name}/sd"] = float(np.std(values, ddof=1))
    return found
