"""What is the same in all cells, as one vector: the noise level or a latent variable, and the lead time."""

from __future__ import annotations

from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

import genkit.nn as gnn
from genkit.errors import UsageError
from genkit_weather.networks.conditioning import Conditioning, Sizes


class Embedding(nnx.Module):
    """Features -> Linear -> SiLU -> Linear -> SiLU, of width `width`.

    The features are those of the noise level or, where the network has a latent variable, a linear map of it
    (CRPS-LAM, arXiv 2510.09484). Those of the lead time, random Fourier features of tau / 240 h, are added (Andrae et
    al. 2025, arXiv 2410.05431).
    """

    def __init__(
        self,
        width: int,
        sizes: Sizes,
        *,
        features: int = 128,
        kind: Literal["fourier", "positional"] = "positional",
        dtype: Any,
        rngs: nnx.Rngs,
    ):
        if sizes.lead and sizes.latent % 2:
            raise UsageError(f"a latent variable of {sizes.latent} numbers beside lead times must be even")
        self.features = sizes.latent or features
        self.mlp = gnn.ScalarEmbedding(width, features=self.features, kind=kind, dtype=dtype, rngs=rngs)
        self.latent = gnn.linear(sizes.latent, sizes.latent, dtype=dtype, rngs=rngs) if sizes.latent else None

    def __call__(self, c_noise: Any, cond: Conditioning) -> jax.Array:
        """`c_noise` (n,) or (), None with a latent variable -> (n or 1, width)."""
        first = self.mlp.sinusoids(c_noise) if self.latent is None else self.latent(cond.latent)
        if cond.lead is not None:
            frequencies = 2 * np.pi * gnn.fourier_frequencies(self.features, seed=1)
            first = first + gnn.sinusoids(cond.lead, frequencies)
        return self.mlp.perceptron(first)
