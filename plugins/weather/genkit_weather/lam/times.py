"""Which two states a forecast starts from and which leads a call of the model predicts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError


@dataclass(frozen=True)
class Times:
    """Steps of the data: states at -lag and 0 are known, those at delta, 2 delta, ..., block are predicted.

    A longer forecast goes on from the last two states of the block that are `lag` apart.
    """

    lag: int = 1
    delta: int = 1
    block: int = 1

    def __post_init__(self) -> None:
        """Check that delta divides the block."""
        if min(self.lag, self.delta, self.block) < 1 or self.block % self.delta:
            raise UsageError(
                f"lag {self.lag}, delta {self.delta} and block {self.block} are at least 1, and delta divides the block"
            )

    @classmethod
    def of(cls, step: float, *, lag: float, delta: float, T_it: float) -> Times:  # noqa: N803 - as in the paper
        """From hours, for data every `step` hours."""
        steps = {}
        for name, hours in (("lag", lag), ("delta", delta), ("T_it", T_it)):
            steps[name] = round(hours / step)
            if steps[name] < 1 or abs(steps[name] * step - hours) > 1e-6 * step:
                raise UsageError(f"{name}={hours:g} h is no multiple of the {step:g} h between the states of the data")
        if steps["T_it"] % steps["delta"]:
            raise UsageError(f"delta={delta:g} h does not divide T_it={T_it:g} h")
        return cls(steps["lag"], steps["delta"], steps["T_it"])

    @property
    def leads(self) -> range:
        """The leads of a block."""
        return range(self.delta, self.block + 1, self.delta)

    def outputs(self, leads: int) -> list[int]:
        """The leads of a forecast of so many steps; refuses what is no whole number of blocks."""
        if leads < 1 or leads % self.block:
            raise UsageError(f"{leads} leads are no whole number of blocks of {self.block}; choose a multiple of it")
        before = self.block - self.lag
        if leads > self.block and before and before not in self.leads:
            raise UsageError(
                f"after a block of {self.block} steps the state {self.lag} steps earlier is not known: the block has "
                f"the leads {list(self.leads)}; choose a lag of the block's length, or shorter by one of its leads"
            )
        return [first + lead for first in range(0, leads, self.block) for lead in self.leads]

    def check_known(self, trained: Times, hours: float) -> None:
        """Refuse leads and lags that a model was not trained for; `hours` is the step of the data."""
        missing = sorted(set(self.leads) - set(trained.leads))
        if missing or self.lag != trained.lag:
            known = ", ".join(f"{hours * lead:g}" for lead in trained.leads)
            found = ", ".join(f"{hours * lead:g}" for lead in missing) or f"lag {hours * self.lag:g}"
            raise UsageError(
                f"the model was not trained for {found} h; it knows the leads {known} h with a lag of "
                f"{hours * trained.lag:g} h"
            )

    def windows(self, leads: int) -> np.ndarray:
        """(blocks, leads of a block, 3) times -lag, 0 and lead of each output, counted from -lag of the first block."""
        first = np.arange(0, leads, self.block)[:, None]
        ahead = np.asarray(self.leads)
        return np.stack(np.broadcast_arrays(first, first + self.lag, first + self.lag + ahead), -1)

    @property
    def past(self) -> int | None:
        """Place in a block of the state `lag` before its end; None where that is the one from which the block began."""
        before = self.block - self.lag
        return None if before == 0 else before // self.delta - 1


STEP = Times()  # one step at a time
