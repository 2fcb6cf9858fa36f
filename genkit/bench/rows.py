"""What a suite yields: a figure, or a call to be timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

MOST = 101  # rounds of two calls in turn


@dataclass(frozen=True)
class Row:
    """One figure of a suite, named by `name` and `unit`, beside the exact or published one where there is one."""

    name: str
    value: float
    unit: str = ""
    expected: float | None = None
    """The exact or published figure."""
    tolerance: float = 0.0
    """Allowed difference from it, relative; absolute where `expected` is 0."""
    note: str = ""
    """Where `expected` comes from, or how the value was measured."""

    def __post_init__(self) -> None:
        """Numbers of numpy and jax become Python's, which JSON can hold."""
        for name in ("value", "expected", "tolerance"):
            if (number := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(number))

    @property
    def error(self) -> float | None:
        """Difference from `expected` on the scale of `tolerance`; None where nothing is expected."""
        return None if self.expected is None else abs(self.value - self.expected) / (abs(self.expected) or 1.0)

    @property
    def missed(self) -> bool:
        """Whether the figure is off by more than `tolerance`; a NaN is."""
        return self.error is not None and not self.error <= self.tolerance


@dataclass(frozen=True)
class Timed:
    """A call for the harness to time: it becomes rows of its median in seconds, its rates and its ratio.

    The first call is not counted; arrays that a call returns are waited for.
    """

    name: str
    call: Callable[[], Any]
    rates: Mapping[str, float] = field(default_factory=dict)
    """How much a call does, by unit: ``{"steps/s": 1}``."""
    against: tuple[str, Callable[[], Any]] | None = None
    """Name and call of an alternative, timed in turn with this call so that both see the same machine."""

    def rows(self, timer: Any, rounds: int) -> Iterator[Row]:
        """Time it by an unused `benchmark` fixture of pytest-benchmark, with an alternative `rounds` times.

        Short calls are timed more often, for two seconds or `MOST` times, where `rounds` is above one.
        """
        other: list[float] = []
        if self.against is None:
            timer(lambda: jax.block_until_ready(self.call()))
        else:
            _, alternative = self.against
            for _ in range(min(rounds, 2)):  # the first compiles
                start = time.perf_counter()
                jax.block_until_ready((self.call(), alternative()))
            if rounds > 1:
                rounds = max(rounds, min(MOST, int(2 / (time.perf_counter() - start))))

            def before() -> None:
                start = time.perf_counter()
                jax.block_until_ready(alternative())
                other.append(time.perf_counter() - start)

            timer.pedantic(lambda: jax.block_until_ready(self.call()), setup=before, rounds=rounds)
        stats = timer.stats.stats
        yield Row(self.name, stats.median, "s", note=f"{stats.rounds} rounds")
        for unit, count in self.rates.items():
            yield Row(self.name, count / stats.median, unit)
        if self.against is not None:
            yield Row(self.name, float(np.median(np.divide(stats.data, other))), f"x {self.against[0]}")
