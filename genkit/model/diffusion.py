"""A trained diffusion model of arrays of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import sample
from genkit.errors import UsageError
from genkit.kinds import Sampler
from genkit.model.request import CHUNK, Piece, Request
from genkit.model.trained import Trained
from genkit.tree import register_dataclass


@dataclass(frozen=True)
class Draw(Request):
    """Draw samples."""

    sampler: Sampler | None = None
    """Another sampler than the model's own."""

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = CHUNK) -> Iterator[Piece]:
        """Pieces of `samples` (n, *shape)."""
        size, sampler = min(n, chunk), self.sampler or model.sampler
        for first in range(0, n, size):
            slots = jnp.arange(first, first + size)  # every chunk is the same program
            x = sample(key, sampler, model.denoiser, (size, *model.shape), slots=slots)
            yield {"samples": np.asarray(x)[: n - first]}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Diffusion(Trained):
    """A denoiser (x (n, *shape), t, cond) -> E[x0 | x_t] with the sampler that draws from it."""

    request: ClassVar[type[Request]] = Draw

    denoiser: Any
    shape: tuple[int, ...] = field(metadata={"static": True})
    """of one sample"""
    sampler: Any = field(metadata={"static": True})

    def check(self, data: Any) -> None:
        """Refuse data of another shape."""
        shape = tuple(getattr(data, "shape", self.shape))
        if shape != self.shape:
            raise UsageError(f"{self!r} is a model of arrays of shape {self.shape}; the data have {shape}")
