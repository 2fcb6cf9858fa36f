"""Optimisers with their learning-rate schedules, as configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import optax

from genkit.kinds import ZERO

Shape = Literal["cosine", "constant"]


def schedule(lr: float, steps: int, warmup: int, shape: Shape) -> optax.Schedule:
    """Linear warm-up from 0 over `warmup` steps (at most a tenth of all), then constant or a cosine to 0."""
    warmup = min(warmup, steps // 10)
    if shape == "cosine":
        after = optax.cosine_decay_schedule(lr, max(steps - warmup, 1))
    else:
        after = optax.constant_schedule(lr)
    # The first update has schedule step 0: one part of the warm-up is already done there.
    rise = optax.linear_schedule(lr / (warmup + 1), lr, warmup)
    return optax.join_schedules([rise, after], [warmup]) if warmup else after


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    lr: float = 1e-3
    """Learning rate after the warm-up."""
    weight_decay: float = 0.0
    """Decay per unit learning rate."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.999
    """Decay of the second moment."""
    warmup: Annotated[int, ZERO] = 100
    """Steps of linear warm-up; at most a tenth of the training."""
    schedule: Shape = "cosine"
    """Learning rate after the warm-up: cosine to zero, or constant."""

    def build(self, steps: int) -> optax.GradientTransformation:
        """The transformation for a training of this many steps."""
        rate = schedule(self.lr, steps, self.warmup, self.schedule)
        return optax.adamw(rate, b1=self.b1, b2=self.b2, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Muon:
    """Momentum orthogonalised by Newton-Schulz for matrices, AdamW for the rest (Jordan et al. 2024)."""

    lr: float = 0.02
    """Learning rate of the matrices."""
    adam_lr: float = 1e-3
    """Learning rate of all other parameters."""
    weight_decay: float = 0.0
    """Decay per unit learning rate."""
    beta: float = 0.95
    """Momentum of the matrices."""
    warmup: Annotated[int, ZERO] = 100
    """Steps of linear warm-up; at most a tenth of the training."""
    schedule: Shape = "cosine"
    """Learning rate after the warm-up: cosine to zero, or constant."""

    def build(self, steps: int) -> optax.GradientTransformation:
        """The transformation for a training of this many steps."""
        return optax.contrib.muon(
            schedule(self.lr, steps, self.warmup, self.schedule),
            beta=self.beta,
            weight_decay=self.weight_decay,
            adam_learning_rate=schedule(self.adam_lr, steps, self.warmup, self.schedule),
        )
