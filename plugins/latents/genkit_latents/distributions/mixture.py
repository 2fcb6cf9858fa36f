"""Mixtures of diagonal Gaussians, as priors that may be learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass

Array = jax.Array
LOG_2PI = 1.8378770664093453


@register_dataclass
@dataclass(frozen=True)
class Mixture:
    """sum_k w_k N(m_k, diag exp(u_k)), w = softmax(logits); one component is a plain Gaussian."""

    means: Array
    """(K, d)"""
    log_vars: Array
    """(K, d)"""
    logits: Array
    """(K,)"""

    def log_parts(self, z: Array) -> Array:
        """log w_k + log N(z; m_k, exp(u_k)), (..., K), for z (..., d)."""
        gap = z[..., None, :] - self.means
        inside = jnp.square(gap) * jnp.exp(-self.log_vars) + self.log_vars + LOG_2PI
        return -0.5 * inside.sum(-1) + jax.nn.log_softmax(self.logits)

    def log_prob(self, z: Array) -> Array:
        """Log density (...) at z (..., d)."""
        return jax.nn.logsumexp(self.log_parts(z), -1)

    def responsibilities(self, z: Array) -> Array:
        """p(k | z), (..., K)."""
        return jax.nn.softmax(self.log_parts(z), -1)

    def at(self, k: Array, noise: Array) -> Array:
        """Draws (n, d) of the components k (n,) from standard normals (n, d), differentiable in means and variances."""
        return self.means[k] + jnp.exp(self.log_vars[k] / 2) * noise

    @partial(jax.jit, static_argnames="n")
    def sample(self, key: Array, n: int) -> Array:
        """n draws (n, d)."""
        one, two = jax.random.split(key)
        k = jax.random.categorical(one, self.logits, shape=(n,))
        return self.at(k, jax.random.normal(two, (n, self.means.shape[1])))

    def active(self) -> Array:
        """Number of components with a weight of at least K^-2."""
        return (jax.nn.softmax(self.logits) >= len(self.logits) ** -2.0).sum()


def clipped(u: Array, low: Array, high: Array) -> Array:
    """u - softplus_b(u - high) + softplus_b(low - u), b = 10 / (|high - low| + 1e-8): u kept softly in between.

    Athanasiadis et al. 2025 (arXiv 2408.13805). Where the bounds meet it is they.
    """
    b = 10 / (jnp.abs(high - low) + 1e-8)

    def soft(x: Array) -> Array:
        return jnp.where(b * x > 20, x, jnp.log1p(jnp.exp(jnp.minimum(b * x, 20))) / b)

    return jnp.where(high == low, high, u - soft(u - high) + soft(low - u))


def divergence(mean: Array, log_var: Array, prior: Mixture, noise: Array, reference: bool = False) -> Array:
    """KL (n,) of N(mean, diag exp(log_var)) (n, d) from a mixture, nats, with draws by noise (samples, n, d).

    The entropy is in closed form, and for one component all of it; `reference` estimates it by the draws too, as the
    published code does, with the same expectation.
    """
    z = mean + jnp.exp(log_var / 2) * noise
    if reference:
        entropy = 0.5 * (log_var + jnp.square(z - mean) * jnp.exp(-log_var) + LOG_2PI).sum(-1).mean(0)
    else:
        entropy = 0.5 * (log_var + 1 + LOG_2PI).sum(-1)
    if len(prior.logits) == 1 and not reference:
        gap = jnp.exp(log_var) + jnp.square(mean - prior.means[0])
        return 0.5 * (gap * jnp.exp(-prior.log_vars[0]) + prior.log_vars[0] + LOG_2PI).sum(-1) - entropy
    return -entropy - prior.log_prob(z).mean(0)


def assignment(parts: Array) -> Array:
    """sum_k p_k log(p_k + 1e-8) / log K of mean responsibilities p, from responsibilities (..., K): -1 where even, 0
    in one mode. For K = 2, where log K < 1, it is not divided."""
    p = parts.reshape(-1, parts.shape[-1]).mean(0)
    size = jnp.log(p.shape[0])
    return (p * jnp.log(p + 1e-8)).sum() / jnp.where(size > 1, size, 1)
