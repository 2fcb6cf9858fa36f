"""One forward pass and one product with the Jacobian in place of a likelihood."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import process_of

Array = Any


def score_and_curvature(denoiser: Any, x: Array, t: Array, vectors: Array, cond: Any = None) -> tuple[Array, Array]:
    """Squared norm of the score of features x (n, d) at time t, and the trace of its Jacobian, (n,) each.

    The trace is Hutchinson's estimate with `vectors` (k, d), the same for all rows: one product each.
    """
    process = process_of(denoiser)
    score, push = jax.linearize(lambda x: process.score(x, t, denoiser(x, t, cond)), x)
    traces = jax.vmap(lambda v: (push(jnp.broadcast_to(v, x.shape)) * v).sum(1))(vectors)
    return (score**2).sum(1), traces.mean(0)


def ratio(square: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """Score-curvature ratio |s|^2 / -tr ds/dx, whose parts have equal means over the model's own law, (n,).

    SCOPED (arXiv 2510.01456) scores by the density of a ratio of score and curvature; its exact form was not at hand,
    this one is ours. Which of the two is divided by the other is the same to the density of its logarithm.
    """
    return square / np.maximum(-trace, 1e-12)


def kernel_density(train: np.ndarray) -> Any:
    """Log density of a statistic (n,) under a Gaussian kernel estimate of its training values, on their logarithm."""
    from scipy.stats import gaussian_kde

    law = gaussian_kde(np.log(np.maximum(train, 1e-12)))
    return lambda values: law.logpdf(np.log(np.maximum(values, 1e-12)))
