"""A perceptron that sees fine detail: fields of densities concentrated on coasts and faults."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.nn import ScalarEmbedding, linear


@dataclass(frozen=True)
class Waves:
    """A residual perceptron on random waves cos(<f, x>), sin(<f, x>), f normal, whose layers see the time.

    Random Fourier features (Tancik et al. 2020, arXiv 2006.10739) of several scales: a perceptron on the coordinates
    alone learns detail of a hundredth of the globe only after very many steps.
    """

    width: int = 128
    """Hidden features."""
    depth: int = 3
    """Residual blocks."""
    waves: int = 256
    """Random frequencies."""
    scale: float = 30.0
    """Largest standard deviation of the frequencies, radians a unit length; they are spread below it."""

    def build(self, rngs: nnx.Rngs, size: int) -> WavesModule:
        """A module (x (n, size), c (n,), cond None) -> (n, size)."""
        return WavesModule(self, size, rngs)


def frequencies(config: Waves, size: int) -> np.ndarray:
    """(size, waves), the same for every network of this configuration: part of the architecture."""
    scales = np.geomspace(1, config.scale, config.waves)
    return scales * np.random.default_rng(0).standard_normal((size, config.waves))


class WavesModule(nnx.Module):
    """See `Waves`."""

    def __init__(self, config: Waves, size: int, rngs: nnx.Rngs):
        width = config.width
        self.config = config
        self.time = ScalarEmbedding(width, features=64, scale=1.0, rngs=rngs)
        self.first = linear(size + 2 * config.waves, width, rngs=rngs)
        self.shifts = nnx.List([linear(width, width, rngs=rngs) for _ in range(config.depth)])
        self.blocks = nnx.List([linear(width, width, rngs=rngs) for _ in range(config.depth)])
        self.last = linear(width, size, gain=1e-5, rngs=rngs)

    def __call__(self, x, c, cond=None):
        """Return the field, (n, size)."""
        emb = self.time(c)
        angle = x @ jnp.asarray(frequencies(self.config, x.shape[-1]), x.dtype)
        h = self.first(jnp.concatenate([x, jnp.cos(angle), jnp.sin(angle)], -1))
        for shift, block in zip(self.shifts, self.blocks, strict=True):
            h = h + block(jax.nn.silu(h + shift(emb)))
        return self.last(jax.nn.silu(h))
