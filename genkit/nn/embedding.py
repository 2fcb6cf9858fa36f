"""Embeddings of scalars: noise level, lead time, hour of the day."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.nn.mlp import linear


def fourier_frequencies(features: int, scale: float = 16.0, seed: int = 0) -> np.ndarray:
    """Frequencies `scale N(0,1)` of the random Fourier features of EDM (Karras et al. 2022), shape (features/2,).

    They are drawn once from a fixed seed: a property of the architecture, not a parameter. A second scalar takes
    another seed.
    """
    return scale * np.random.default_rng(seed).standard_normal(features // 2)


def positional_frequencies(features: int, longest: float = 1e4) -> np.ndarray:
    """Geometric frequencies from 1 down to 1/longest (Vaswani et al. 2017), shape (features/2,)."""
    return longest ** -(np.arange(features // 2) / max(features // 2, 1))


def sinusoids(t, frequencies):
    """(cos, sin) features of `t` (...,) at angular `frequencies` (k,): shape (..., 2k), float32."""
    angle = jnp.asarray(t, jnp.float32)[..., None] * jnp.asarray(frequencies, jnp.float32)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)


class ScalarEmbedding(nnx.Module):
    """Sinusoids -> Linear -> SiLU -> Linear -> SiLU, the noise embedding of EDM's U-Nets.

    Maps `t` (n,) or () to (n, width) or (1, width). `kind`: `fourier` (random, for NCSN++ and Diffusion-LAM) or
    `positional` (smooth, for DDPM++).
    """

    def __init__(
        self,
        width: int,
        *,
        features: int = 128,
        kind: Literal["fourier", "positional"] = "fourier",
        scale: float = 16.0,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.features, self.kind, self.scale = features, kind, scale
        self.first = linear(features, width, dtype=dtype, rngs=rngs)
        self.second = linear(width, width, dtype=dtype, rngs=rngs)

    def __call__(self, t):
        """Embed `t`."""
        return self.perceptron(self.sinusoids(t))

    def sinusoids(self, t):
        """Features (n or 1, features) of `t`."""
        if self.kind == "fourier":
            frequencies = 2 * np.pi * fourier_frequencies(self.features, self.scale)
        else:
            frequencies = positional_frequencies(self.features)
        return sinusoids(jnp.atleast_1d(t), frequencies)

    def perceptron(self, features):
        """The embedding of features, to which those of another quantity may have been added."""
        return jax.nn.silu(self.second(jax.nn.silu(self.first(features))))
