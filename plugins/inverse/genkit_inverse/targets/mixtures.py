"""Mixtures: log Z = 0, exact samples, known modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.steer import standard_normal
from genkit.tree import register_dataclass
from genkit_inverse.targets.density import Density

Array = jax.Array


@register_dataclass
@dataclass(frozen=True, eq=False)
class Mixture(Density):
    """Normal components, or Student-t ones with independent coordinates, of equal weight."""

    log_z: ClassVar[float | None] = 0.0

    means: Any
    """(k, d)"""
    whiten: Any
    """(k, d, d), inverse lower Cholesky factors of their covariances; None are identities"""
    scale: float = field(metadata={"static": True})
    dof: float | None = field(default=None, metadata={"static": True})
    """Degrees of freedom; None is normal."""

    @property
    def dim(self) -> int:
        """d."""
        return self.means.shape[1]

    @property
    def mode_weights(self) -> np.ndarray:  # type: ignore[override]
        """(k,)."""
        return np.full(len(self.means), 1 / len(self.means))

    def __call__(self, x: Array) -> Array:
        """log density of x (d,)."""
        z = x - jnp.asarray(self.means)
        log_p = 0.0
        if self.whiten is not None:
            z = jnp.einsum("kij,kj->ki", self.whiten, z)
            log_p = jnp.log(jnp.diagonal(self.whiten, axis1=1, axis2=2)).sum(1)
        if self.dof is None:
            log_p = log_p + standard_normal(z)
        else:
            log_p = log_p + jax.scipy.stats.t.logpdf(z, self.dof).sum(1)
        return jax.nn.logsumexp(log_p) - jnp.log(len(self.means))

    def draw(self, key: Array) -> Array:  # type: ignore[override]
        """An exact sample (d,)."""
        which, noise = jax.random.split(key)
        k, shape = jax.random.randint(which, (), 0, len(self.means)), (self.dim,)
        z = jax.random.normal(noise, shape) if self.dof is None else jax.random.t(noise, self.dof, shape)
        if self.whiten is not None:
            z = jnp.linalg.solve(jnp.asarray(self.whiten)[k], z)
        return jnp.asarray(self.means)[k] + z

    def members(self, x: Array) -> Array:
        """Each state belongs to the nearest mean."""
        near = jnp.argmin(jnp.sum((x[:, None] - self.means) ** 2, -1), 1)
        return near[:, None] == jnp.arange(len(self.means))


@dataclass(frozen=True)
class Mixture2D:
    """Six unequal normals in the plane."""

    scale: float = 1.0
    """Standard deviation of the base."""

    def load(self) -> Mixture:
        """The mixture."""
        narrow, tall, turned = np.diag([0.7, 0.05]), np.diag([0.05, 0.7]), np.array([[1, 0.95], [0.95, 1]])
        means = np.array([[3, 0], [0, 3], [-2.5, 0], [0, -2.5], [2, 3], [3, 2]], np.float32)
        covs = np.stack([narrow, tall, narrow, tall, turned, turned])
        return Mixture(means, np.linalg.inv(np.linalg.cholesky(covs)).astype(np.float32), self.scale)


@dataclass(frozen=True)
class GMM40:
    """Forty normals of unit covariance, their means uniform on [-40, 40]^d."""

    dim: int = 2
    """Dimensions."""
    scale: float = 30.0
    """Standard deviation of the base; one that is too narrow misses modes."""

    def __post_init__(self) -> None:
        """Check the dimension."""
        check_dim(self.dim)

    def load(self) -> Mixture:
        """The mixture."""
        with jax.threefry_partitionable(False):  # as the published means were drawn
            means = 40 * jax.random.uniform(jax.random.PRNGKey(0), (40, self.dim), minval=-1, maxval=1)
        return Mixture(np.asarray(means), None, self.scale)


@dataclass(frozen=True)
class StudentT:
    """Student-t components of two degrees of freedom, independent by coordinate; means uniform on [-10, 10]^d."""

    dim: int = 2
    """Dimensions."""
    components: int = 10
    """Number of them."""
    dof: float = 2.0
    """Degrees of freedom."""
    scale: float = 10.0
    """Standard deviation of the base."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_dim(self.dim)
        if self.components < 1 or self.dof <= 0:
            raise UsageError(f"components={self.components}, dof={self.dof}; expected at least 1, and above 0")

    def load(self) -> Mixture:
        """The mixture."""
        means = np.random.default_rng(0).uniform(-10, 10, (self.components, self.dim)).astype(np.float32)
        return Mixture(means, None, self.scale, self.dof)


def check_dim(dim: int, least: int = 1) -> None:
    """Refuse too few dimensions."""
    if dim < least:
        raise UsageError(f"dim={dim} is too few; expected at least {least}")
