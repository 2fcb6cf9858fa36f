"""Denoisers in closed form, for any Gaussian path x_t = alpha x_0 + sigma eps."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process, per_item
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class GaussianDenoiser:
    """E[x_0 | x_t] for x_0 ~ N(mean, S): mean + alpha S (alpha^2 S + sigma^2 I)^-1 (x - alpha mean).

    S is given by its eigenvalues and, where it is not diagonal, its eigenvectors over the last axis of x.
    """

    mean: Any
    values: Any
    vectors: Any = None
    process: Process = field(default=EDM(), metadata={"static": True})

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[x_0 | x_t = x], shape of x (n, ...)."""
        alpha, sigma = self._scales(x, t)
        values, mean = jnp.asarray(self.values, x.dtype), jnp.asarray(self.mean, x.dtype)
        z = self._rotate(x - alpha * mean)
        return mean + self._rotate_back(alpha * values / (alpha**2 * values + sigma**2) * z)

    def log_prob(self, x: Array, t: Array) -> Array:
        """log p_t(x), (n,)."""
        alpha, sigma = self._scales(x, t)
        z = self._rotate(x - alpha * jnp.asarray(self.mean, x.dtype))
        variance = alpha**2 * jnp.asarray(self.values, x.dtype) + sigma**2
        log_p = -0.5 * (z**2 / variance + jnp.log(2 * jnp.pi * variance))
        return log_p.reshape(x.shape[0], -1).sum(1)

    def _scales(self, x, t):
        t = per_item(t, x)
        return self.process.alpha(t), self.process.sigma(t)

    def _rotate(self, x):
        return x if self.vectors is None else x @ jnp.asarray(self.vectors, x.dtype)

    def _rotate_back(self, x):
        return x if self.vectors is None else x @ jnp.asarray(self.vectors, x.dtype).T


@register_dataclass
@dataclass(frozen=True)
class MixtureDenoiser:
    """E[x_0 | x_t] for a mixture of K Gaussians over vectors: component denoisers by responsibility.

    The responsibility of component k is proportional to w_k N(x; alpha mean_k, alpha^2 S_k + sigma^2 I).
    """

    weights: Any
    """(K,), positive; scaled to sum 1."""
    components: GaussianDenoiser
    """Leaves (K, ...)."""

    @property
    def process(self) -> Process:
        """The Gaussian path."""
        return self.components.process

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[x_0 | x_t = x], (n, d)."""
        denoised = jax.vmap(lambda c: c(x, t))(self.components)
        return jnp.einsum("kn,knd->nd", jax.nn.softmax(self._log_joint(x, t), axis=0), denoised)

    def log_prob(self, x: Array, t: Array) -> Array:
        """log p_t(x), (n,)."""
        return jax.nn.logsumexp(self._log_joint(x, t), axis=0)

    def _log_joint(self, x, t):
        log_w = jnp.log(jnp.asarray(self.weights, x.dtype))
        log_p = jax.vmap(lambda c: c.log_prob(x, t))(self.components)
        return jax.nn.log_softmax(log_w)[:, None] + log_p


@register_dataclass
@dataclass(frozen=True)
class LinearGaussianDenoiser:
    """E[x_0 | x_t, y] for x_0 = A y + offset + e, e ~ N(0, S), where y (n, k) is the condition."""

    matrix: Any
    """A, (d, k)."""
    noise: GaussianDenoiser
    """The denoiser of e + offset."""

    @property
    def process(self) -> Process:
        """The Gaussian path."""
        return self.noise.process

    def __call__(self, x: Array, t: Array, cond: Any) -> Array:
        """E[x_0 | x_t = x, y = cond], (n, d)."""
        given = jnp.asarray(cond, x.dtype) @ jnp.asarray(self.matrix, x.dtype).T
        alpha = self.noise.process.alpha(per_item(t, x))
        return given + self.noise(x - alpha * given, t)


def gaussian_denoiser(mean: Any = 0.0, std: Any = None, cov: Any = None, process: Process = EDM()) -> GaussianDenoiser:
    """Exact denoiser of N(mean, S).

    Args:
        mean: broadcasts with an item of the batch.
        std: standard deviations, broadcast with an item (S diagonal); 1 if neither is given.
        cov: instead of std, S (d, d) over the last axis; a concrete array.
        process: the Gaussian path.
    """
    return GaussianDenoiser(_array(mean), *_spectrum(std, cov), process)


def gmm_denoiser(
    weights: Any, means: Any, std: Any = None, cov: Any = None, process: Process = EDM()
) -> MixtureDenoiser:
    """Exact denoiser of a mixture of Gaussians over vectors (n, d).

    Args:
        weights: (K,), scaled to sum 1.
        means: (K, d).
        std: (K,) or (K, d); 1 if neither is given.
        cov: instead of std, (K, d, d); a concrete array.
        process: the Gaussian path.
    """
    means, weights = _array(means), _array(weights)
    if means.ndim != 2 or weights.shape != means.shape[:1]:
        raise UsageError(f"means {means.shape} and weights {weights.shape}; expected (K, d) and (K,)")
    if std is not None:
        std = _array(std)
        std = (std.reshape(-1, 1) if std.ndim < 2 else std) * np.ones(means.shape)
    values, vectors = _spectrum(np.ones(means.shape) if std is None and cov is None else std, cov)
    return MixtureDenoiser(weights, GaussianDenoiser(means, values, vectors, process))


def linear_gaussian_denoiser(
    matrix: Any, offset: Any = 0.0, std: Any = None, cov: Any = None, process: Process = EDM()
) -> LinearGaussianDenoiser:
    """Exact conditional denoiser of x = A y + offset + e, e ~ N(0, S); the condition is y (n, k).

    Args:
        matrix: A (d, k).
        offset: (d,) or a number.
        std: of e, (d,) or a number; 1 if neither is given.
        cov: instead of std, S (d, d).
        process: the Gaussian path.
    """
    matrix = _array(matrix)
    if matrix.ndim != 2:
        raise UsageError(f"matrix has shape {matrix.shape}; expected (d, k), data by condition")
    return LinearGaussianDenoiser(matrix, gaussian_denoiser(offset, std, cov, process))


def _array(a: Any) -> Any:
    # float64 on the host, so that an oracle serves both precisions
    return a if isinstance(a, jax.Array) else np.asarray(a, np.float64)


def _spectrum(std: Any, cov: Any) -> tuple[Any, Any]:
    if cov is None:
        return _array(1.0 if std is None else std) ** 2, None
    if std is not None:
        raise UsageError("both std and cov are given; give one of them")
    values, vectors = np.linalg.eigh(np.asarray(cov, np.float64))
    if values.min() < 0:
        raise UsageError(f"cov has the negative eigenvalue {values.min():.3g}; a covariance has none")
    return values, vectors
