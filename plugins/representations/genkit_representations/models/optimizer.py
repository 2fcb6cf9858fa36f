"""AdamW with the schedules of DINO and of RDM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genkit.errors import UsageError

BEFORE = {"embed", "token", "position", "registers", "masked"}  # of a vision transformer, before its blocks
VECTORS = {"scales", "shifts"}  # of a block, kept two in one array


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
    """Factor on the rate for each layer below the norm and the head, whose rate is whole; 0.9 in DINOv2."""
    patches: float = 1.0
    """Further factor on the rate of the patch embedding; 0.2 in DINOv2."""

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
            optax.stateless(lambda updates, params: self._scaled(updates)),
            optax.scale_by_learning_rate(rate if rise else after),
        )

    def _scaled(self, updates: Any) -> Any:
        """By layers^(L - i) in block i of L, layers^(L + 1) before the blocks, 1 after them, as in DINOv2.

        A stack of blocks has its depth L as leading axis.
        """
        leaves = jax.tree_util.tree_leaves_with_path(updates)
        depth = next((leaf.shape[0] for path, leaf in leaves if "blocks" in _names(path)), 0)

        def scaled(path: Any, update: Any) -> Any:
            names = _names(path)
            if "blocks" in names:
                factors = self.layers ** jnp.arange(depth, 0, -1, dtype=update.dtype)
                return update * factors.reshape(-1, *[1] * (update.ndim - 1))
            if not names & BEFORE:
                return update
            return update * self.layers ** (depth + 1) * (self.patches if "embed" in names else 1.0)

        return jax.tree_util.tree_map_with_path(scaled, updates)


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
    names = _names(path)
    return leaf.ndim - ("blocks" in names) > 1 and not names & VECTORS


def _names(path: Any) -> set[Any]:
    return {getattr(key, "key", None) for key in path}
