"""A denoiser of small images for larger ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import Wrapped
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Windowed(Wrapped):
    """The mean of what a denoiser says of windows that overlap: exact where cells tell of near ones alone.

    Windows are worked on one after another, so memory is that of one. Of those that see a cell each counts the more the
    farther the cell is from its edge, up to the overlap. No window knows what is outside of it.
    """

    denoiser: Any
    side: tuple[int, int] = field(metadata={"static": True})
    """rows and columns of a window: those of the images that the denoiser was trained on"""
    overlap: int = field(metadata={"static": True})
    """cells that neighbouring windows share, at least"""

    def __post_init__(self) -> None:
        """Check the overlap."""
        if not 0 <= self.overlap < min(self.side):
            raise UsageError(f"overlap={self.overlap}; expected 0 to {min(self.side) - 1}, less than a window's side")

    def places(self, shape: tuple[int, int]) -> np.ndarray:
        """(k, 2) upper left corners of the windows of an image, evenly spaced from border to border."""
        if any(n < side for n, side in zip(shape, self.side, strict=True)):
            raise UsageError(
                f"images of {shape[0]} x {shape[1]} are smaller than a window, {self.side[0]} x {self.side[1]}"
            )
        rows, columns = (
            np.linspace(0, n - side, 1 + ceil((n - side) / (side - self.overlap))).round()
            for n, side in zip(shape, self.side, strict=True)
        )
        return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Of x (n, h, w, c) at time t () or (n,)."""
        places = self.places((x.shape[1], x.shape[2]))
        rows, columns = (
            np.minimum(np.minimum(np.arange(n) + 1, n - np.arange(n)), self.overlap + 1) for n in self.side
        )
        weight = np.outer(rows, columns)[..., None]
        total = np.zeros((*x.shape[1:3], 1))
        for i, j in places:
            total[i : i + self.side[0], j : j + self.side[1]] += weight
        size = (x.shape[0], *self.side, x.shape[3])

        @jax.checkpoint
        def add(found: Array, place: Array) -> tuple[Array, None]:
            at = (0, place[0], place[1], 0)
            told = self.denoiser(jax.lax.dynamic_slice(x, at, size), t, cond) * jnp.asarray(weight, x.dtype)
            return jax.lax.dynamic_update_slice(found, jax.lax.dynamic_slice(found, at, size) + told, at), None

        return jax.lax.scan(add, jnp.zeros_like(x), jnp.asarray(places))[0] / jnp.asarray(total, x.dtype)
