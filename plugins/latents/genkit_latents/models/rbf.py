"""A precision that falls to almost nothing away from the data: the variance of Latent Space Oddity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class RBFDeviation:
    """z (d,) -> standard deviations (D,) = beta^-1/2, beta = W v + zeta, v_k = exp(-rate_k |z - c_k|^2).

    Arvanitidis et al. 2018 (arXiv 1710.11379), eq. 12. With `genkit_latents.geometry.pullback.stochastic` it makes a
    metric that is large where there are no codes.
    """

    centres: Array
    """(k, d)"""
    rates: Array
    """(k,)"""
    weights: Array
    """(k, D), positive"""
    floor: Array
    """(), zeta > 0: the least precision"""

    def precision(self, z: Array) -> Array:
        """beta (D,)."""
        return jnp.exp(-self.rates * jnp.square(z - self.centres).sum(1)) @ self.weights + self.floor

    def __call__(self, z: Array) -> Array:
        """beta^-1/2."""
        return 1 / jnp.sqrt(self.precision(z))


def fit_rbf(
    codes: Any,
    residuals: Any,
    *,
    centres: int = 64,
    width: float = 1.25,
    rule: Literal["distance", "covariance"] = "distance",
    far: float = 1000.0,
    steps: int = 2000,
    seed: int = 0,
) -> RBFDeviation:
    """Fit by the likelihood of residuals x - mean(z) (n, D) at codes z (n, d), the mean being fixed.

    Args:
        codes: latent points.
        residuals: of the data there.
        centres: k of the k-means that places them.
        width: a in rate = 1 / (2 (a s)^2).
        rule: s is the mean distance to the centre in its cluster (the paper), or the root of the least variance along
            an axis (the authors' code).
        far: largest deviation over the root mean square of the residuals.
        steps: of Adam.
        seed: of k-means.
    """
    from sklearn.cluster import KMeans

    codes, residuals = np.asarray(codes), np.asarray(residuals)
    if not 1 <= centres < len(codes):
        raise UsageError(f"centres={centres} for {len(codes)} codes; expected fewer than codes")
    found = KMeans(centres, random_state=seed).fit(codes)
    gaps = codes - found.cluster_centers_[found.labels_]
    size = np.array([_size(gaps[found.labels_ == k], rule) for k in range(centres)])
    size = np.maximum(size, 0.1 * np.median(size))  # clusters of one point
    rates = jnp.asarray(0.5 / (width * size) ** 2, jnp.float32)
    mean_square = np.square(residuals).mean()
    start = RBFDeviation(
        jnp.asarray(found.cluster_centers_, jnp.float32),
        rates,
        jnp.full((centres, residuals.shape[1]), np.log(1 / mean_square), jnp.float32),  # their logs, until the end
        jnp.float32(1 / (far**2 * mean_square)),
    )
    log_weights = _train(start, jnp.asarray(codes), jnp.square(jnp.asarray(residuals)), steps)
    return RBFDeviation(start.centres, start.rates, jnp.exp(log_weights), start.floor)


def _size(gaps: np.ndarray, rule: str) -> float:
    if rule == "covariance":
        return float(np.sqrt(gaps.var(0).min()))
    return float(np.linalg.norm(gaps, axis=1).mean())


@jax.jit(static_argnums=3)
def _train(start: RBFDeviation, codes: Array, squares: Array, steps: int) -> Array:
    features = jnp.exp(-start.rates * jnp.square(codes[:, None] - start.centres).sum(-1))
    rule = optax.adam(optax.cosine_decay_schedule(0.05, steps))

    def loss(log_weights: Array) -> Array:
        beta = features @ jnp.exp(log_weights) + start.floor
        return 0.5 * (squares * beta - jnp.log(beta)).mean()

    def move(carry: Any, _: None) -> Any:
        w, state = carry
        update, state = rule.update(jax.grad(loss)(w), state)
        return (optax.apply_updates(w, update), state), None

    return jax.lax.scan(move, (start.weights, rule.init(start.weights)), None, length=steps)[0][0]
