"""The snapshot prior: the climate of an area at one time, given its frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from genkit.diffusion import Heun
from genkit_weather.assimilation import Climate, Folds
from genkit_weather.data import Series
from genkit_weather.models.area import Area
from genkit_weather.models.state import TINY, StateModel, StateRecipe
from genkit_weather.networks import LamUNet


@dataclass(frozen=True, kw_only=True)
class Snapshot(StateRecipe):
    """Conditional diffusion of the interior given the frame, the static fields and the time, without the past.

    The stationary prior of data assimilation with inverse sampling (Andrae et al. 2025, arXiv 2512.00252).
    """

    @classmethod
    def preset(cls, name: str) -> Snapshot:
        """Presets tiny (CI), default (minutes on two cores), paper (a larger network)."""
        if name == "tiny":
            return cls(network=TINY, steps=20, sampler=Heun(steps=6))
        return cls(network=LamUNet.preset("paper"), steps=100_000) if name == "paper" else cls()

    def fit(self, run: Any, data: Folds, start: StateModel | None = None) -> StateModel:
        """Train on all states of the training split."""
        weather, parts = data.weather, data.train
        if start is None:
            variance = data.climate.covariance.variance.reshape(-1, len(weather.names)).mean(0)
            denoiser, unit, steps = self.denoiser(run, weather.layout), np.sqrt(variance).astype(np.float32), self.steps
            start = StateModel(Area.of(weather), data.climate, denoiser, unit, self.sampler)
        else:
            steps, parts = self.finetune, [(start.climate, s) for _, s in parts]
        train, val = Snapshots(parts, start), Snapshots([(start.climate, s) for s in weather.val], start)
        return replace(start, denoiser=self.fitted(run, "snapshot", start, train, val, steps))


class Snapshots:
    """Random access to (situation, no channels, r) of all states of some series, each with its climate."""

    def __init__(self, parts: Sequence[tuple[Climate, Series]], model: StateModel):
        self.parts, self.model = parts, jax.tree.map(np.asarray, model)
        self.index = np.array([(i, t) for i, (_, one) in enumerate(parts) for t in range(len(one))])

    def __len__(self) -> int:
        """Number of states."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> Any:
        """A batch, in the order of the rows."""
        return jax.tree.map(lambda *a: np.concatenate(a), *[self._one(i, t) for i, t in self.index[np.asarray(rows)]])

    def __getitem__(self, row: int) -> Any:
        """One, without batch axis."""
        return jax.tree.map(lambda a: a[0], self._one(*self.index[row]))

    def _one(self, number: int, time: int) -> Any:
        climate, series = self.parts[number]
        situation = climate.situation(series, [time])
        r = self.model.relative(situation, climate.states(series, [time]))
        return situation, np.zeros((*r.shape[:3], 0), np.float32), r.astype(np.float32)
