"""Linear measurements y = A x_0 + std N(0, I) by the singular value decomposition A = U diag(s) V^T.

In the basis of V the likelihood of every linear measurement is diagonal, and as V is orthogonal the noise of a
diffusion is white there too. Methods need no matrix, only the four rotations; one set of operators serves them all.
Coordinates V^T x come with the r observed ones first, those of the singular values s (r,); all other are unobserved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


class LinearOperator:
    """A linear map; subclasses are frozen dataclasses, registered pytrees, with the four rotations and `s`.

    Items x have the shape `shape` and d = prod(shape) numbers, measurements `size` = m numbers.
    """

    shape: tuple[int, ...]
    """Of an item."""
    size: int
    """Numbers of a measurement, m."""

    @property
    def s(self) -> Any:
        """Singular values (r,), positive, r <= min(m, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no s")

    def to_basis(self, x: Array) -> Array:
        """V^T x, (n, d), of x (n, *shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no to_basis")

    def from_basis(self, z: Array) -> Array:
        """V z, (n, *shape), of z (n, d)."""
        raise NotImplementedError(f"{type(self).__name__} has no from_basis")

    def to_data(self, c: Array) -> Array:
        """U c, (n, m), of c (n, r)."""
        raise NotImplementedError(f"{type(self).__name__} has no to_data")

    def from_data(self, y: Array) -> Array:
        """U^T y, (n, r), of y (n, m)."""
        raise NotImplementedError(f"{type(self).__name__} has no from_data")

    @property
    def rank(self) -> int:
        """Number of singular values, r."""
        return jnp.shape(self.s)[-1]

    def __call__(self, x: Array) -> Array:
        """A x, (n, m), of x (n, *shape)."""
        s = jnp.asarray(self.s, x.dtype)
        return self.to_data(s * self.to_basis(x)[:, : self.rank])

    def adjoint(self, y: Array) -> Array:
        """A^T y, (n, *shape), of y (n, m)."""
        return self._spread(jnp.asarray(self.s, y.dtype) * self.from_data(y))

    def pinv(self, y: Array) -> Array:
        """A^+ y, (n, *shape), of y (n, m): the smallest of the closest solutions."""
        return self._spread(self.from_data(y) / jnp.asarray(self.s, y.dtype))

    def _spread(self, c: Array) -> Array:
        return self.from_basis(jnp.pad(c, ((0, 0), (0, prod(self.shape) - self.rank))))


@register_dataclass
@dataclass(frozen=True)
class Dense(LinearOperator):
    """A matrix by its decomposition; made by `dense`."""

    u: Any
    """(m, r)"""
    values: Any
    """(r,)"""
    v: Any
    """(d, d), columns of the observed coordinates first"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    @property
    def size(self) -> int:
        """Rows."""
        return jnp.shape(self.u)[-2]

    @property
    def s(self) -> Any:
        """(r,)."""
        return self.values

    def to_basis(self, x: Array) -> Array:
        """V^T x."""
        return x.reshape(x.shape[0], -1) @ jnp.asarray(self.v, x.dtype)

    def from_basis(self, z: Array) -> Array:
        """V z."""
        return (z @ jnp.asarray(self.v, z.dtype).T).reshape(z.shape[0], *self.shape)

    def to_data(self, c: Array) -> Array:
        """U c."""
        return c @ jnp.asarray(self.u, c.dtype).T

    def from_data(self, y: Array) -> Array:
        """U^T y."""
        return y @ jnp.asarray(self.u, y.dtype)


def dense(matrix: Any, shape: Sequence[int] | None = None, tolerance: float = 1e-6) -> Dense:
    """An operator from a matrix (m, d), decomposed in float64.

    A complex matrix measures real data by its real and then its imaginary parts, 2 m numbers; `observe` does the same
    with a complex y. Singular values below `tolerance` times the largest are nothing measured: what they would
    have seen of y is noise alone.

    Args:
        matrix: concrete, real or complex.
        shape: of an item; (d,) if not given.
        tolerance: relative to the largest singular value.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise UsageError(f"a matrix of shape {matrix.shape} was given; expected finite numbers (m, d)")
    if np.iscomplexobj(matrix):
        matrix = np.concatenate([matrix.real, matrix.imag])
    shape = (matrix.shape[1],) if shape is None else tuple(shape)
    if prod(shape) != matrix.shape[1]:
        raise UsageError(f"the matrix has {matrix.shape[1]} columns, items of shape {shape} have {prod(shape)} numbers")
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=True)
    r = int((s > tolerance * s[0]).sum())
    if r == 0:
        raise UsageError("the matrix is zero: it measures nothing")
    return Dense(u[:, :r], s[:r], vt.T, shape)


@register_dataclass
@dataclass(frozen=True)
class Mask(LinearOperator):
    """Some of the numbers of an item as they are; made by `mask`."""

    order: Any
    """(d,) int, places of the item's numbers, the observed ones first"""
    shape: tuple[int, ...] = field(metadata={"static": True})
    size: int = field(metadata={"static": True})

    @property
    def s(self) -> Any:
        """Ones (m,)."""
        return np.ones(self.size)

    def to_basis(self, x: Array) -> Array:
        """Reorder."""
        return x.reshape(x.shape[0], -1)[:, self.order]

    def from_basis(self, z: Array) -> Array:
        """Put back."""
        return z[:, jnp.argsort(jnp.asarray(self.order))].reshape(z.shape[0], *self.shape)

    def to_data(self, c: Array) -> Array:
        """The same."""
        return c

    def from_data(self, y: Array) -> Array:
        """The same."""
        return y


def mask(seen: Any) -> Mask:
    """The operator that keeps the numbers of an item where `seen`, of an item's shape, is true."""
    seen = np.asarray(seen, bool)
    if not seen.any():
        raise UsageError("the mask hides everything; at least one number must be seen")
    order = np.argsort(~seen.reshape(-1), kind="stable").astype(np.int32)
    return Mask(order, seen.shape, int(seen.sum()))


def identity(shape: Sequence[int]) -> Mask:
    """The operator of denoising: everything is seen."""
    return mask(np.ones(tuple(shape), bool))


@dataclass(frozen=True)
class Denoising:
    """Everything is seen, with noise."""

    def build(self, shape: Sequence[int]) -> Mask:
        """The identity."""
        return identity(shape)


@dataclass(frozen=True)
class RandomMatrix:
    """A dense matrix with entries N(0, 1 / rows): compressed sensing, for items of at most some thousand numbers."""

    rows: int = 16
    """Numbers measured."""
    seed: int = 0
    """Of the entries."""

    def build(self, shape: Sequence[int]) -> Dense:
        """At most as many rows as an item has numbers."""
        d = prod(shape)
        if not 1 <= self.rows <= d:
            raise UsageError(f"rows={self.rows} of a random matrix; items of shape {tuple(shape)} allow 1 to {d}")
        matrix = np.random.default_rng(self.seed).normal(size=(self.rows, d)) / np.sqrt(self.rows)
        return dense(matrix, shape)


@register_dataclass
@dataclass(frozen=True)
class Observation:
    """A measurement y = A x_0 + std N(0, I), in the units of the data; made by `observe`."""

    operator: Any
    """A `LinearOperator`."""
    y: Any
    """(m,)"""
    std: Any
    """() standard deviation of the noise in each of the m numbers"""

    @property
    def coordinates(self) -> Array:
        """U^T y, (r,)."""
        return self.operator.from_data(jnp.asarray(self.y)[None])[0]

    @property
    def outside2(self) -> Array:
        """|y - U U^T y|^2, (): what no x explains, 0 where the rank is m."""
        y = jnp.asarray(self.y)
        if self.operator.size == self.operator.rank:
            return jnp.zeros((), y.dtype)
        return ((y - self.operator.to_data(self.coordinates[None])[0]) ** 2).sum()

    def log_prob(self, z: Array, spread2: Any = 0.0) -> Array:
        """log N(y; A x, std^2 I + spread2 A A^T), (n,), of x given by coordinates z (n, d).

        `spread2` is a variance of x beside z. Where r < m, what y has outside of the range of A counts as noise.
        """
        s, c = jnp.asarray(self.operator.s, z.dtype), self.coordinates.astype(z.dtype)
        noise2 = jnp.asarray(self.std, z.dtype) ** 2
        variance = noise2 + spread2 * s**2
        log_p = -0.5 * ((c - s * z[:, : s.size]) ** 2 / variance + jnp.log(2 * jnp.pi * variance)).sum(1)
        outside = self.operator.size - s.size
        rest = self.outside2.astype(z.dtype) / noise2 + outside * jnp.log(2 * jnp.pi * noise2)
        return log_p - 0.5 * rest


def observe(operator: LinearOperator, y: Any, std: Any) -> Observation:
    """An observation, checked.

    Args:
        operator: A.
        y: (m,) real; or complex, of which the real and then the imaginary parts are the m numbers.
        std: standard deviation of the noise in each real number, positive.
    """
    y = y if isinstance(y, jax.Array) else np.asarray(y)
    if jnp.iscomplexobj(y):
        y = jnp.concatenate([y.real, y.imag])
    if y.shape != (operator.size,):
        raise UsageError(f"y has shape {y.shape}; expected ({operator.size},), the numbers that the operator measures")
    if not isinstance(y, Tracer) and not np.isfinite(np.asarray(y)).all():
        raise UsageError("y has NaN or infinite numbers; leave them out of the measurement, by a mask")
    if not isinstance(std, Tracer) and not np.all((np.asarray(std) > 0) & np.isfinite(std)):
        raise UsageError(f"std={std} of the noise must be positive; for a measurement without noise give a small one")
    return Observation(operator, y, std)
