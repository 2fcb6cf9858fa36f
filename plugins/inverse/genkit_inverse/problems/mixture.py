"""Mixtures of Gaussians of unit covariance: the prior, its denoiser, and the posterior under linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion import VP, Process, per_item
from genkit.steer import Observation
from genkit.tree import register_dataclass

Array = jax.Array

PROCESS = VP(t_max=1.01)  # the chain of the problem goes a little beyond time 1


@register_dataclass
@dataclass(frozen=True)
class Mixture:
    """sum_k w_k N(mean_k, C) with one covariance for all components; a density and a source of samples."""

    log_w: Array
    """(K,), normalised"""
    means: Array
    """(K, d)"""
    chol: Array
    """(d, d), lower Cholesky factor of C"""

    def sample(self, key: Array, n: int) -> Array:
        """(n, d)."""
        which, noise = jax.random.split(key)
        k = jax.random.categorical(which, self.log_w, shape=(n,))
        return self.means[k] + jax.random.normal(noise, (n, self.means.shape[1])) @ self.chol.T

    def log_prob(self, x: Array) -> Array:
        """(n,), of x (n, d)."""
        white, centres = (jax.scipy.linalg.solve_triangular(self.chol, a.T, lower=True).T for a in (x, self.means))
        d = x.shape[1]
        log_p = -0.5 * ((white[:, None] - centres[None]) ** 2).sum(-1) - 0.5 * d * jnp.log(2 * jnp.pi)
        return jax.nn.logsumexp(self.log_w + log_p, axis=1) - jnp.log(jnp.diag(self.chol)).sum()


@register_dataclass
@dataclass(frozen=True)
class Prior:
    """E[x_0 | x_t] for sum_k w_k N(mean_k, I), by two products of matrices."""

    log_w: Any
    """(K,), normalised"""
    means: Any
    """(K, d)"""
    process: Process = field(default=PROCESS, metadata={"static": True})

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(n, d)."""
        t = per_item(t, x)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        total = alpha**2 + sigma**2
        means = jnp.asarray(self.means, x.dtype)
        logits = (alpha * (x @ means.T) - alpha**2 * (means**2).sum(1) / 2) / total
        responsibility = jax.nn.softmax(logits + jnp.asarray(self.log_w, x.dtype))
        return (alpha * x + sigma**2 * (responsibility @ means)) / total

    def mixture(self) -> Mixture:
        """The law of x_0."""
        means = jnp.asarray(self.means)
        return Mixture(jnp.asarray(self.log_w), means, jnp.eye(means.shape[1], dtype=means.dtype))

    def posterior(self, observation: Observation) -> tuple[Mixture, Array]:
        """The law of x_0 given y, and log p(y).

        C = (I + A^T A / std^2)^-1 for every component, mean_k + C A^T (y - A mean_k) / std^2, and weights in
        proportion to w_k N(y; A mean_k, A A^T + std^2 I); C is diagonal in the basis of the operator.
        """
        operator = observation.operator
        means = jnp.asarray(self.means)
        z = operator.to_basis(means)
        s, r = jnp.asarray(operator.s, means.dtype), operator.rank
        std2 = jnp.asarray(observation.std, means.dtype) ** 2
        gain = s / (s**2 + std2)
        moved = z.at[:, :r].add(gain * (observation.coordinates.astype(z.dtype) - s * z[:, :r]))
        spread = jnp.ones(z.shape[1], z.dtype).at[:r].set(std2 / (s**2 + std2))
        root = operator.from_basis(jnp.diag(spread))  # rows V_i C_i: C = V diag(spread) V^T
        basis = operator.from_basis(jnp.eye(z.shape[1], dtype=z.dtype))
        joint = jnp.asarray(self.log_w) + observation.log_prob(z, 1.0)
        evidence = jax.nn.logsumexp(joint)
        return Mixture(joint - evidence, operator.from_basis(moved), jnp.linalg.cholesky(root.T @ basis)), evidence
