"""Classifiers of noisy crystals: a discriminator of model and data, or of a property."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.steer import noisy_classifier_loss
from genkit.tree import register_dataclass
from genkit_crystals.chains.layout import Layout
from genkit_crystals.data import ENERGY
from genkit_crystals.evaluation import PROPERTIES
from genkit_crystals.protostructures import Protostructure

Array = Any


@register_dataclass
@dataclass(frozen=True)
class LogOdds:
    """A network's log-odds of yes at a noisy crystal x = (x0, x1); `cond` is the space group (n,)."""

    network: Any = field(metadata={"static": True})
    """apply(params, x, slots, group, time) -> (n, 1), of times 0..T, where 0 is data."""
    params: Any
    slots: Any = None
    """`Layout`"""

    def __call__(self, x: tuple[Array, Array], t: Array, cond: Any = None) -> Array:
        """(n,)."""
        time = jnp.broadcast_to(jnp.rint(t).astype(int), cond.shape)
        return self.network(self.params, x, self.slots, cond, time)[:, 0]


def placed(critic: Any, slots: Layout) -> Any:
    """What is made of `LogOdds`, in another layout."""

    def one(a: Any) -> Any:
        return replace(a, slots=slots) if isinstance(a, LogOdds) else a

    return jax.tree.map(one, critic, is_leaf=lambda a: isinstance(a, LogOdds))


def critic_loss(key: Array, log_odds: LogOdds, batch: dict[str, Any], processes: Any) -> Array:
    """Cross-entropy of `batch["yes"]` after noise, in one of the equivalent assignments of letters."""
    move, noise = jax.random.split(key)
    group, slots = batch["group"], log_odds.slots
    x = slots.relabelled(move, group, batch["x"])
    return noisy_classifier_loss(noise, log_odds, x, batch["yes"], processes, group, slots.mask(group))


@dataclass(frozen=True)
class Property:
    """A property of crystals and the values, between two numbers, that are yes."""

    name: str
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def of(cls, text: str) -> Property:
        """NAME=LOW..HIGH, either of them perhaps missing; raises UsageError."""
        match = re.fullmatch(r"(\w+)=(\S*?)\.\.(\S*)", text)
        try:
            name, *ends = match.groups()  # type: ignore[union-attr]
            low, high = (float(end) if end else rest for end, rest in zip(ends, (-math.inf, math.inf), strict=True))
        except (AttributeError, ValueError):
            raise UsageError(
                f"{text!r} is no property that can be wanted; expected NAME=LOW..HIGH, NAME=LOW.. or NAME=..HIGH"
            ) from None
        if not low < high:
            raise UsageError(f"{text!r}: nothing lies between {low:g} and {high:g}")
        return cls(name, low, high)

    def __post_init__(self) -> None:
        """Check the name."""
        if self.name not in (*PROPERTIES, ENERGY):
            raise UsageError(
                f"{self.name!r} is no property that can be wanted; known: {', '.join((*PROPERTIES, ENERGY))}"
            )

    def __str__(self) -> str:
        low, high = (f"{end:.4g}" if math.isfinite(end) else "" for end in (self.low, self.high))
        return f"{self.name}={low}..{high}"

    @property
    def ends(self) -> list[float]:
        """The finite ones of `low` and `high`."""
        return [end for end in (self.low, self.high) if math.isfinite(end)]

    def yes(self, values: np.ndarray) -> np.ndarray:
        """Which values (n,) are as wanted, (n,) bool."""
        return (values > self.low) & (values < self.high)

    def measure(self, crystals: Sequence[Protostructure], energies: Callable[[Any], np.ndarray] | None) -> np.ndarray:
        """Values (n,) of crystals; energies by `energies(crystals)`."""
        if self.name != ENERGY:
            return np.array([PROPERTIES[self.name](c) for c in crystals], float)
        if energies is None:
            raise UsageError("energies of samples are what the encoder predicts; give an encoder")
        return energies(crystals)
