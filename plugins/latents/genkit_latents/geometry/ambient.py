"""Metrics made from data: short where there are data, long where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents.geometry.metric import as_tree

Array = jax.Array


def _kernel(x: Array, centres: Array, scale: Any) -> Array:
    """exp(-|x - c|^2 / (2 scale^2)), (n,)."""
    return jnp.exp(-0.5 * jnp.square((centres - x) / scale).sum(-1))


@register_dataclass
@dataclass(frozen=True)
class LocalDiagonalPCA:
    """G_ii(x) = 1 / (sum_n w_n (x_ni - x_i)^2 + rho), w_n = exp(-|x_n - x|^2 / (2 scale^2)).

    Arvanitidis et al. 2016 (arXiv 1606.02518). Far from the data G = I / rho.
    """

    data: Array
    """(n, d)"""
    scale: Array | float = 0.15
    rho: Array | float = 1e-2

    def diag(self, z: Array) -> Array:
        """The diagonal (d,)."""
        w = _kernel(z, self.data, self.scale)
        return 1 / (w @ jnp.square(self.data - z) + self.rho)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return jnp.diag(self.diag(z))


@register_dataclass
@dataclass(frozen=True)
class StandardNormal:
    """log of the standard normal density over that at its mode."""

    def __call__(self, z: Array) -> Array:
        """-|z|^2 / 2."""
        return -0.5 * (z @ z)


@register_dataclass
@dataclass(frozen=True)
class InverseDensity:
    """G = (alpha p(z) + beta)^(-2/d) I: the volume of a region is about the data in it, over alpha."""

    log_density: Callable[[Array], Array]
    """log p, a pytree callable or a plain function"""
    alpha: Array | float = 1.0
    beta: Array | float = 1e-3
    power: Array | float | None = None
    """-d_m / 2 of the exponent; the dimension of the data if not given"""

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "log_density", as_tree(self.log_density))

    @classmethod
    def between(cls, log_density: Any, highest: float, dim: int, least: float, most: float) -> InverseDensity:
        """With magnification (sqrt det G) `least` at the highest density and `most` where there are no data."""
        if not 0 < least < most:
            raise UsageError(f"magnifications least={least}, most={most}: expected 0 < least < most")
        beta = 1 / most
        return cls(log_density, (1 / least - beta) / highest, beta, dim)

    def conformal(self, z: Array) -> Array:
        """The factor."""
        d = z.shape[-1] if self.power is None else self.power
        return (self.alpha * jnp.exp(self.log_density(z)) + self.beta) ** (-2 / d)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return self.conformal(z) * jnp.eye(z.shape[-1], dtype=z.dtype)


@register_dataclass
@dataclass(frozen=True)
class RBFCost:
    """G = (rho + sum_i w_i exp(-|z - c_i|^2 / (2 scale^2))) I; centres of positive weight are avoided."""

    centres: Array
    """(k, d)"""
    weights: Array
    """(k,)"""
    scale: Array | float = 0.3
    rho: Array | float = 1.0

    def conformal(self, z: Array) -> Array:
        """The factor."""
        return self.rho + self.weights @ _kernel(z, self.centres, self.scale)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return self.conformal(z) * jnp.eye(z.shape[-1], dtype=z.dtype)


@register_dataclass
@dataclass(frozen=True)
class WeightedAverage:
    """G = sum_n w_n(z) M_n with normalised Gaussian weights (Hauberg et al. 2012)."""

    centres: Array
    """(n, d)"""
    matrices: Array
    """(n, d, d), each positive definite"""
    scale: Array | float = 0.3

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        w = jax.nn.softmax(-0.5 * jnp.square((self.centres - z) / self.scale).sum(-1))
        return jnp.einsum("n,nij->ij", w, self.matrices)


def local_lda(
    data: Any, labels: Any, neighbours: int = 50, centres: int = 1000, iterations: int = 50, eps: float = 1e-3
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of local linear discriminants for `WeightedAverage`: (centres (k, d), matrices (k, d, d)).

    Hastie and Tibshirani 1996: M = W^-1/2 (W^-1/2 B W^-1/2 + eps I) W^-1/2 with the scatters W within and B between the
    classes among the neighbours, weighed by (1 - (r / r_max)^3)^3; the distance that ranks them is that of the matrix
    itself, which is repeated. Distances then grow across the borders of classes.
    """
    data, labels = np.asarray(data, np.float64), np.asarray(labels)
    n, d = data.shape
    if len(labels) != n or not d < neighbours < n:
        raise UsageError(f"{len(labels)} labels and {neighbours} neighbours for data {data.shape}")

    chosen = np.random.default_rng(0).permutation(n)[:centres]
    out = np.empty((len(chosen), d, d))
    for k, x in enumerate(data[chosen]):
        matrix = np.eye(d)
        for _ in range(iterations):
            gap = data - x
            r = np.sqrt(np.einsum("ni,ij,nj->n", gap, matrix, gap))
            near = np.argpartition(r, neighbours)[:neighbours]
            w = (1 - (r[near] / r[near].max()) ** 3) ** 3
            new = _discriminant(data[near], labels[near], w / w.sum(), eps)
            if np.abs(new - matrix).max() < 1e-6 * np.abs(new).max():
                break
            matrix = new
        out[k] = matrix
    return data[chosen], out


def _discriminant(x: np.ndarray, labels: np.ndarray, w: np.ndarray, eps: float) -> np.ndarray:
    mean = w @ x
    within, between = eps * np.eye(x.shape[1]), np.zeros((x.shape[1],) * 2)
    for c in np.unique(labels):
        own = labels == c
        share = w[own].sum()
        centre = w[own] @ x[own] / max(share, 1e-12)
        gap = x[own] - centre
        within += (w[own, None] * gap).T @ gap
        between += share * np.outer(centre - mean, centre - mean)
    values, vectors = np.linalg.eigh(within)
    root = vectors / np.sqrt(values) @ vectors.T
    return root @ (root @ between @ root + eps * np.eye(len(mean))) @ root
