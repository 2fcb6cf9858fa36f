"""Classifiers of noisy crystals: a discriminator of model and data, or of a property."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.steer import noisy_classifier_loss
from genkit.tree import register_dataclass
from genkit_crystals.chains.layout import Layout
from genkit_crystals.data import Crystals
from genkit_crystals.evaluation import PROPERTIES
from genkit_crystals.protostructures import Protostructure

Array = Any


@register_dataclass
@dataclass(frozen=True)
class Answers:
    """What a network says of a noisy crystal x = (x0, x1); `cond` is the space group (n,)."""

    network: Any = field(metadata={"static": True})
    """apply(params, x, slots, group, time) -> (n, outputs), of times 0..T, where 0 is data."""
    params: Any
    slots: Any = None
    """`Layout`"""

    def __call__(self, x: tuple[Array, Array], t: Array, cond: Any = None) -> Array:
        """(n, outputs)."""
        time = jnp.broadcast_to(jnp.rint(t).astype(int), cond.shape)
        return self.network(self.params, x, self.slots, cond, time)


@register_dataclass
@dataclass(frozen=True)
class LogOdds(Answers):
    """A network's log-odds of yes."""

    def __call__(self, x: tuple[Array, Array], t: Array, cond: Any = None) -> Array:
        """(n,)."""
        return super().__call__(x, t, cond)[:, 0]


def placed(critic: Any, slots: Layout) -> Any:
    """What is made of `Answers`, in another layout."""

    def one(a: Any) -> Any:
        return replace(a, slots=slots) if isinstance(a, Answers) else a

    return jax.tree.map(one, critic, is_leaf=lambda a: isinstance(a, Answers))


def critic_loss(key: Array, log_odds: LogOdds, batch: dict[str, Any], processes: Any) -> Array:
    """Cross-entropy of `batch["yes"]` after noise, in one of the equivalent assignments of letters."""
    move, noise = jax.random.split(key)
    group, slots = batch["group"], log_odds.slots
    x = slots.relabelled(move, group, batch["x"])
    return noisy_classifier_loss(noise, log_odds, x, batch["yes"], processes, group, slots.mask(group))


def bins_loss(key: Array, answers: Answers, batch: dict[str, Any], processes: Any) -> Array:
    """The same of the bin `batch["bin"]` among those that the network answers with, -log p(bin | x_t)."""

    def log_odds(x: Any, t: Array, cond: Any = None) -> Array:
        logits = answers(x, t, cond)
        own = batch["bin"][:, None] == jnp.arange(logits.shape[-1])
        return jax.nn.logsumexp(logits, -1, where=own) - jax.nn.logsumexp(logits, -1, where=~own)

    move, noise = jax.random.split(key)
    group, slots = batch["group"], answers.slots
    x = slots.relabelled(move, group, batch["x"])
    true = jnp.ones(len(group))  # every crystal is in its own bin
    return noisy_classifier_loss(noise, log_odds, x, true, processes, group, slots.mask(group))


@register_dataclass
@dataclass(frozen=True)
class LogWithin:
    """log p(wanted | x_t): the sum over bins of their probability and of their share that is wanted, (n,)."""

    answers: Answers
    shares: Array
    """(bins,)"""

    def __call__(self, x: Any, t: Array, cond: Any = None) -> Array:
        """(n,)."""
        log_p = jax.nn.log_softmax(self.answers(x, t, cond))
        return jax.nn.logsumexp(log_p, -1, b=jnp.asarray(self.shares))


@register_dataclass
@dataclass(frozen=True, eq=False)
class Known:
    """What a model knows of a property: its law, in bins, given a noisy crystal.

    Within a bin it is that of the training crystals. So one network serves any interval: p(low < y < high | x_t).
    """

    name: str = field(metadata={"static": True})
    answers: Answers
    """log-probabilities of the bins, up to a constant"""
    edges: Any
    """(bins - 1,) between them, rising"""
    values: Any
    """(m,) of the training crystals, sorted"""

    def within(self, wanted: Property | None) -> LogWithin:
        """The potential of an interval, of all values if None; raises UsageError where no training crystal has any."""
        values = np.asarray(self.values)
        own, yes = binned(values, self.edges), np.ones(len(values)) if wanted is None else wanted.among(values)
        size = len(np.asarray(self.edges)) + 1
        shares = np.bincount(own, yes, size) / np.maximum(np.bincount(own, minlength=size), 1)
        return LogWithin(self.answers, shares.astype(np.float32))


def edges_of(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges (at most bins - 1,) between bins of about equally many values; equal values are in one bin."""
    inner = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="higher"))
    return inner[inner > values.min()]


def binned(values: np.ndarray, edges: Any) -> np.ndarray:
    """Number of the bin of each value (n,); an edge belongs to the upper one."""
    return np.searchsorted(np.asarray(edges), values, side="right")


@dataclass(frozen=True)
class Property:
    """A property of crystals and the values, between two numbers, that are wanted."""

    name: str
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def of(cls, text: str) -> Property:
        """NAME=LOW..HIGH, either of them perhaps missing; raises UsageError."""
        match = re.fullmatch(r"([^=]+)=(\S*?)\.\.(\S*)", text)
        try:
            name, *ends = match.groups()  # type: ignore[union-attr]
            low, high = (float(end) if end else rest for end, rest in zip(ends, (-math.inf, math.inf), strict=True))
        except (AttributeError, ValueError):
            raise UsageError(
                f"{text!r} is no property that can be wanted; expected NAME=LOW..HIGH, NAME=LOW.. or NAME=..HIGH"
            ) from None
        if not low < high:
            raise UsageError(f"{text!r}: nothing lies between {low:g} and {high:g}")
        if math.isinf(low) and math.isinf(high):
            raise UsageError(f"{text!r} is all values; give at least one end, {name}=LOW.. or {name}=..HIGH")
        return cls(name, low, high)

    @classmethod
    def beyond(cls, name: str, values: np.ndarray, quantile: float, below: bool) -> Property:
        """The values above a quantile of some (n,), or below it; where none lies there, the highest or lowest ones."""
        edge = float(np.quantile(values, quantile))
        if not (values < edge if below else values > edge).any():  # many equal ones: up to the next value
            others = values[values != edge]
            edge = float(edge if not len(others) else others.min() if below else others.max())
        return cls(name, high=edge) if below else cls(name, low=edge)

    def __str__(self) -> str:
        low, high = (f"{end:.4g}" if math.isfinite(end) else "" for end in (self.low, self.high))
        return f"{self.name}={low}..{high}"

    @property
    def text(self) -> str:
        """As `of` reads it, exactly."""
        low, high = (repr(float(end)) if math.isfinite(end) else "" for end in (self.low, self.high))
        return f"{self.name}={low}..{high}"

    @property
    def ends(self) -> list[float]:
        """The finite ones of `low` and `high`."""
        return [end for end in (self.low, self.high) if math.isfinite(end)]

    def yes(self, values: np.ndarray) -> np.ndarray:
        """Which values (n,) are as wanted, (n,) bool."""
        return (values > self.low) & (values < self.high)

    def among(self, values: np.ndarray) -> np.ndarray:
        """The same of training crystals; raises UsageError where none has such a value."""
        yes = self.yes(values)
        if not yes.any():
            raise UsageError(
                f"{self}: no training crystal has such a value; they have {values.min():.4g} to {values.max():.4g}"
            )
        return yes


def values_of(name: str, data: Crystals) -> np.ndarray:
    """(n,) of crystals by the name of a column of theirs or of what can be computed, NaN where missing.

    Raises UsageError where there is none, or where a column has other numbers than what is computed under its name: new
    crystals are measured by the latter.
    """
    own = data.properties.get(name, np.full(len(data), np.nan))
    there = np.isfinite(own)
    if name in PROPERTIES:
        found = computed(name, data.crystals)
        if not np.allclose(own[there], found[there], rtol=1e-3):
            raise UsageError(f"the data have a column {name!r} of other numbers than are computed; rename it")
        return found
    if there.any():
        return own
    some = sorted(k for k, v in data.properties.items() if np.isfinite(v).any())
    raise UsageError(
        f"{name!r} is no property of these crystals; known: {', '.join(dict.fromkeys((*some, *PROPERTIES)))}"
    )


def computed(name: str, crystals: Sequence[Protostructure]) -> np.ndarray:
    """(n,) of what needs no calculation, see `PROPERTIES`."""
    return np.array([PROPERTIES[name](c) for c in crystals], float)
