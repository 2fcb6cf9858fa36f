"""Classifiers of noisy crystals: a discriminator of model and data, or of a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.steer import noisy_classifier_loss
from genkit.tree import register_dataclass
from genkit_crystals.layout import Layout
from genkit_crystals.protostructure import Protostructure

Array = Any


@register_dataclass
@dataclass(frozen=True)
class LogOdds:
    """A network's log-odds of yes at a noisy crystal x = (x0, x1); `cond` is the space group (n,)."""

    network: Any = field(metadata={"static": True})
    """apply(params, x, slots, group, time) -> (n, 1), of times 0..T, where 0 is data."""
    params: Any
    slots: Layout

    def __call__(self, x: tuple[Array, Array], t: Array, cond: Any = None) -> Array:
        """(n,)."""
        time = jnp.broadcast_to(jnp.rint(t).astype(int), cond.shape)
        return self.network(self.params, x, self.slots, cond, time)[:, 0]


def loss(key: Array, log_odds: LogOdds, batch: dict[str, Any], processes: Any) -> Array:
    """Cross-entropy of `batch["yes"]` after noise, in one of the equivalent assignments of letters."""
    move, noise = jax.random.split(key)
    group, slots = batch["group"], log_odds.slots
    x = slots.relabelled(move, group, batch["x"])
    return noisy_classifier_loss(noise, log_odds, x, batch["yes"], processes, group, slots.mask(group))


@dataclass(frozen=True)
class Labelled:
    """Crystals of which some are called yes, both kinds equally often: the fewer ones are repeated."""

    crystals: list[Protostructure]
    yes: np.ndarray
    """(n,) bool."""

    @classmethod
    def of(cls, yes: Sequence[Protostructure], no: Sequence[Protostructure]) -> Labelled:
        """One after the other."""
        size = max(len(yes), len(no))
        return cls([one[i % len(one)] for one in (yes, no) for i in range(size)], np.arange(2 * size) < size)


def divided(yes: Sequence[Protostructure], no: Sequence[Protostructure], seed: int) -> tuple[Labelled, Labelled]:
    """For training, and a tenth of each kind for validation."""
    rng = np.random.default_rng(seed)
    kinds = [[one[i] for i in rng.permutation(len(one))] for one in (yes, no)]
    cuts = [max(1, len(one) // 10) for one in kinds]
    held = Labelled.of(*(one[:n] for one, n in zip(kinds, cuts, strict=True)))
    return Labelled.of(*(one[n:] for one, n in zip(kinds, cuts, strict=True))), held
