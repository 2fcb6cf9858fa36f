"""The order in which a grid node is told its fields: that of Neural-LAM, and that of this plugin's networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.errors import DataError
from genkit_weather.models import Area

Order = Literal["feature", "time"]
Column = tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Inputs of the grid embedder: X_t, X_{t-1}, the forcing at three times, the static fields."""

    area: Area
    statics: int
    window: Order = "feature"
    """feature: all times of the first forcing, then of the second (Neural-LAM now); time: all forcings of the first
    time, and so on (as published)"""
    once: tuple[str, ...] = ()
    """forcings that do not change in time and are told once, before the others, as the open water of MEPS"""

    def theirs(self) -> list[Column]:
        """Neural-LAM's."""
        changing = [f for f in self.area.forcing_names if f not in self.once]
        pairs = [(f, lag) for f in changing for lag in "-0+"]
        if self.window == "time":
            pairs.sort(key=lambda pair: "-0+".index(pair[1]))
        return [*self._states(), *(("forcing", f, "0") for f in self.once), *(("forcing", *p) for p in pairs),
                *self._statics()]  # fmt: skip

    def ours(self) -> list[Column]:
        """Those of `genkit_weather.lam.domain.condition`: forcings by time, at the end where they are scalars."""
        forcing = [("forcing", f, lag) for lag in "-0+" for f in self.area.forcing_names]
        parts = (self._statics(), forcing) if self.area.uniform else (forcing, self._statics())
        return [*self._states(), *parts[0], *parts[1]]

    def read(self, weight: np.ndarray, file: str) -> np.ndarray:
        """The first weight (H, inputs) of a grid embedder in our order; 0 for what is told once in theirs."""
        theirs = {column: i for i, column in enumerate(self.theirs())}
        if weight.shape[1] != len(theirs):
            states = 2 * len(self.area.names)
            raise DataError(
                f"{file}: the grid embedder takes {weight.shape[1]} inputs, these data give {len(theirs)}: {states} of "
                f"states, {len(theirs) - states - self.statics} of forcing (told once: "
                f"{', '.join(self.once) or 'none'}), {self.statics} static"
            )
        ours = self.ours()
        found = np.zeros((len(weight), len(ours)), weight.dtype)
        for i, column in enumerate(ours):
            if column in theirs:
                found[:, i] = weight[:, theirs[column]]
        return found

    def write(self, weight: np.ndarray) -> np.ndarray:
        """The inverse of `read`; what is told once here three times, and never changes, counts by its sum."""
        ours = self.ours()
        found = []
        for kind, *rest in self.theirs():
            lags = "-0+" if kind == "forcing" and rest[0] in self.once else rest[-1:]
            same = [(kind, *rest[:-1], lag) for lag in lags]
            found.append(sum(weight[:, ours.index(column)] for column in same))
        return np.stack(found, 1)

    def _states(self) -> list[Column]:
        return [(when, name) for when in ("now", "before") for name in self.area.names]

    def _statics(self) -> list[Column]:
        return [("static", str(i)) for i in range(self.statics)]
