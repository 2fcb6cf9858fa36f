"""AdamW with the schedules of DINO and of RDM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genkit.errors import UsageError


def cosine(start: float, end: float, steps: int) -> optax.Schedule:
    """From `start` at step 0 to `end` at `steps` along half a cosine."""
    return lambda step: end + 0.5 * (start - end) * (1 + jnp.cos(jnp.pi * jnp.minimum(step / max(steps, 1), 1.0)))


@dataclass(frozen=True)
class DINOAdamW:
    """AdamW whose rate rises, then falls along a cosine, while the decay of matrices grows (arXiv 2104.14294)."""

    lr: float = 5e-4
    """Largest rate; for a batch of 256, others in proportion (DINO) or by the root (DINOv2)."""
    lr_end: float = 1e-6
    """Rate at the end."""
    warmup: float = 0.1
    """Share of the training over which the rate rises from 0."""
    decay: tuple[float, float] = (0.04, 0.4)
    """Weight decay at the start and at the end; none on biases, norms and other vectors."""
    layers: float = 1.0
    """Factor on the rate of each block below the last; 0.9 in DINOv2."""
    patches: float = 1.0
    """Factor on the rate of the patch embedding; 0.2 in DINOv2."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.lr <= 0 or not 0 <= self.warmup < 1 or not 0 < self.layers <= 1 or self.patches <= 0:
            raise UsageError(f"{self}: expected lr > 0, 0 <= warmup < 1, 0 < layers <= 1, patches > 0")

    def build(self, steps: int) -> optax.GradientTransformation:
        """The transformation for a training of this many steps."""
        rise = round(self.warmup * steps)
        after = cosine(self.lr, self.lr_end, steps - rise)
        rate = optax.join_schedules([optax.linear_schedule(self.lr / (rise + 1), self.lr, rise), after], [rise])
        matrices = lambda params: jax.tree_util.tree_map_with_path(_is_matrix, params)  # noqa: E731
        decay: Any = cosine(*self.decay, steps)
        return optax.chain(
            optax.scale_by_adam(),
            optax.add_decayed_weights(decay, matrices),
            optax.stateless(lambda updates, params: jax.tree_util.tree_map_with_path(self._scaled, updates)),
            optax.scale_by_learning_rate(rate if rise else after),
        )

    def _scaled(self, path: Any, update: Any) -> Any:
        """A stack of blocks has its depth as leading axis; what comes before it is below its first block."""
        names = [getattr(key, "key", None) for key in path]
        if "blocks" in names:
            depth = update.shape[0]
            factors = self.layers ** jnp.arange(depth - 1, -1, -1, dtype=update.dtype)
            return update * factors.reshape(-1, *[1] * (update.ndim - 1))
        return update * self.patches if "embed" in names else update


@dataclass(frozen=True)
class OneCycle:
    """Adam under a rate that rises and falls along half cosines (Smith and Topin 2018), as published with RDM."""

    lr: float = 2e-3
    """Largest rate."""
    rise: float = 0.05
    """Share of the training until then."""
    start: float = 25.0
    """Largest over first rate."""
    end: float = 1e4
    """First over last rate."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.lr, self.start, self.end) <= 0 or not 0 < self.rise < 1:
            raise UsageError(f"{self}: expected positive numbers and 0 < rise < 1")

    def build(self, steps: int) -> optax.GradientTransformation:
        """The transformation for a training of this many steps; without weight decay."""
        up = max(1, round(self.rise * steps))
        first = self.lr / self.start
        parts = [cosine(first, self.lr, up), cosine(self.lr, first / self.end, steps - up)]
        return optax.adam(optax.join_schedules(parts, [up]))


def _is_matrix(path: Any, leaf: Any) -> bool:
    stacked = any(getattr(key, "key", None) == "blocks" for key in path)
    return leaf.ndim - stacked > 1
