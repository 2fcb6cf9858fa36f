"""Gaussian images: the prior, its denoiser, and the posterior under linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from genkit.diffusion import EDM, Process
from genkit.steer import Observation
from genkit.testing import gaussian_denoiser
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class GaussianImages:
    """E[x_0 | x_t] for images x_0 ~ N(0, S)."""

    cov: Any
    """(d, d) S, d numbers in an image; concrete"""
    flat: Any
    """the denoiser of images as vectors"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    @property
    def process(self) -> Process:
        """The Gaussian path."""
        return self.flat.process

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(n, h, w, c)."""
        return self.flat(x.reshape(x.shape[0], -1), t).reshape(x.shape)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, h, w, c) float32."""
        flat = rng.multivariate_normal(np.zeros(prod(self.shape)), self.cov, n, method="cholesky")
        return flat.reshape(n, *self.shape).astype(np.float32)

    def posterior(self, observation: Observation) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean (d,) and covariance (d, d) of x_0 given y, and log p(y), float64; d = h w c."""
        eye = jnp.eye(prod(self.shape)).reshape(-1, *self.shape)
        a = np.asarray(observation.operator(eye), np.float64).T
        y = np.asarray(observation.y, np.float64)
        marginal = a @ self.cov @ a.T + float(observation.std) ** 2 * np.eye(len(a))
        gain = np.linalg.solve(marginal, a @ self.cov).T
        return gain @ y, self.cov - gain @ a @ self.cov, float(multivariate_normal.logpdf(y, cov=marginal))


def gaussian_images(cov: Any, shape: tuple[int, ...], process: Process = EDM()) -> GaussianImages:
    """Images of a shape with mean zero and covariance (d, d), d = prod(shape)."""
    cov = np.asarray(cov, np.float64)
    return GaussianImages(cov, gaussian_denoiser(cov=cov, process=process), tuple(shape))
