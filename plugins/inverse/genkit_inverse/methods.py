"""Methods for comparison that are none of the core's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from genkit.diffusion import EDM, Process
from genkit.steer import DDSMC, Steps, Table
from genkit.tree import register_dataclass


@dataclass(frozen=True)
class Single(DDSMC):
    """DDSMC with a single particle: draws of its proposal, which nothing weighs."""

    def table(self, process: Process = EDM()) -> Table:
        """Those coefficients, without weights."""
        table = super().table(process)
        return replace(table, kernels=(Alone(steps=table.kernels[0]),))


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Alone(Steps):
    """Steps of another kernel, whose weights are left out."""

    steps: Any

    def given(self, process: Any, denoiser: Any, observation: Any, cond: Any) -> Alone:
        """With that kernel."""
        return replace(self, steps=self.steps.given(process, denoiser, observation, cond))

    def check(self, observation: Any) -> None:
        """As that kernel."""
        self.steps.check(observation)

    def begin(self, keys: Any, first: Any) -> tuple[Any, None]:
        """Its particles."""
        return self.steps.begin(keys, first)[0], None

    def move(self, keys: Any, p: Any, u: Any) -> Any:
        """Its move."""
        return self.steps.move(keys, p, u)

    def end(self, keys: Any, p: Any, last: Any) -> Any:
        """Its end."""
        return self.steps.end(keys, p, last)
