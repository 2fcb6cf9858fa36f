"""Linear maps of images with their singular values: products over the axes, and circular convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.steer import LinearOperator
from genkit.tree import register_dataclass

Array = jax.Array

TOLERANCE = 1e-6  # of the largest singular value, below which nothing is measured


@register_dataclass
@dataclass(frozen=True)
class Kronecker(LinearOperator):
    """A matrix along every axis of an item; made by `kronecker`. U, s and V are products of those of the matrices."""

    u: tuple[Any, ...]
    """(m_i, k_i) of each axis"""
    values: Any
    """(r,)"""
    v: tuple[Any, ...]
    """(d_i, d_i) of each axis"""
    order: Any
    """(d,) int, places in the grid of coordinates, the observed ones first"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    @property
    def size(self) -> int:
        """Product of the rows."""
        return prod(u.shape[0] for u in self.u)

    @property
    def s(self) -> Any:
        """(r,)."""
        return self.values

    def to_basis(self, x: Array) -> Array:
        """V^T x."""
        return _along(x.reshape(-1, *self.shape), self.v).reshape(x.shape[0], -1)[:, self.order]

    def from_basis(self, z: Array) -> Array:
        """V z."""
        grid = z[:, jnp.argsort(jnp.asarray(self.order))].reshape(-1, *self.shape)
        return _along(grid, [v.T for v in self.v])

    def to_data(self, c: Array) -> Array:
        """U c."""
        grid = jnp.zeros((c.shape[0], prod(self.shape)), c.dtype).at[:, self.order[: self.rank]].set(c)
        cut = grid.reshape(-1, *self.shape)[(slice(None), *(slice(u.shape[1]) for u in self.u))]
        return _along(cut, [u.T for u in self.u]).reshape(c.shape[0], -1)

    def from_data(self, y: Array) -> Array:
        """U^T y."""
        grid = _along(y.reshape(-1, *(u.shape[0] for u in self.u)), self.u)
        room = [(0, 0), *((0, d - u.shape[1]) for d, u in zip(self.shape, self.u, strict=True))]
        return jnp.pad(grid, room).reshape(y.shape[0], -1)[:, self.order[: self.rank]]


def _along(x: Array, matrices: Sequence[Any]) -> Array:
    """Multiply each axis of x (n, ...), the first aside, by a matrix from the right."""
    for axis, matrix in enumerate(matrices, 1):
        x = jnp.moveaxis(jnp.moveaxis(x, axis, -1) @ jnp.asarray(matrix, x.dtype), -1, axis)
    return x


def kronecker(*matrices: Any) -> Kronecker:
    """The operator with a concrete matrix (m_i, d_i) along every axis of items (d_1, d_2, ...)."""
    parts = [np.linalg.svd(np.asarray(m, np.float64), full_matrices=True) for m in matrices]
    shape = tuple(np.shape(m)[1] for m in matrices)
    s = np.ones(())
    for (_, values, _), d in zip(parts, shape, strict=True):
        s = np.multiply.outer(s, np.pad(values, (0, d - len(values))))
    order, values = _ordered(s.ravel())
    return Kronecker(
        tuple(u[:, : len(w)] for u, w, _ in parts), values, tuple(vt.T for _, _, vt in parts), order, shape
    )


def _ordered(s: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """Places by falling singular value, and those values that count."""
    if not s.max() > 0:
        raise UsageError("the operator is zero: it measures nothing")
    order = np.argsort(-s, kind="stable").astype(np.int32)
    return order, s[order][: int((s > tolerance * s.max()).sum())]


@register_dataclass
@dataclass(frozen=True)
class Convolution(LinearOperator):
    """Circular convolution of images (h, w, c) with one kernel; made by `convolution`.

    With h_k = |h_k| exp(i phi_k) the kernel's Fourier transform, V is the Hartley transform, which is real and
    orthogonal, s = |h_k|, and U its shift by the phases: every real number of an image is counted once.
    """

    phase: Any
    """(h, w) complex, exp(i phi_k)"""
    values: Any
    """(r,)"""
    order: Any
    """(d,) int, places in the grid of coordinates, the observed ones first"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    @property
    def size(self) -> int:
        """All numbers of the image."""
        return prod(self.shape)

    @property
    def s(self) -> Any:
        """(r,)."""
        return self.values

    def to_basis(self, x: Array) -> Array:
        """V^T x."""
        return hartley(x.reshape(-1, *self.shape)).reshape(x.shape[0], -1)[:, self.order]

    def from_basis(self, z: Array) -> Array:
        """V z."""
        return hartley(z[:, jnp.argsort(jnp.asarray(self.order))].reshape(-1, *self.shape))

    def to_data(self, c: Array) -> Array:
        """U c."""
        grid = jnp.zeros((c.shape[0], prod(self.shape)), c.dtype).at[:, self.order[: self.rank]].set(c)
        return self._shift(hartley(grid.reshape(-1, *self.shape)), self.phase).reshape(c.shape[0], -1)

    def from_data(self, y: Array) -> Array:
        """U^T y."""
        back = self._shift(y.reshape(-1, *self.shape), jnp.conj(self.phase))
        return hartley(back).reshape(y.shape[0], -1)[:, self.order[: self.rank]]

    @staticmethod
    def _shift(x: Array, phase: Any) -> Array:
        return jnp.fft.ifft2(phase[..., None] * jnp.fft.fft2(x, axes=(1, 2)), axes=(1, 2)).real.astype(x.dtype)


def hartley(x: Array) -> Array:
    """Real minus imaginary part of the Fourier transform of images (n, h, w, c); orthogonal, its own inverse."""
    f = jnp.fft.fft2(x, axes=(1, 2), norm="ortho")
    return (f.real - f.imag).astype(x.dtype)


@register_dataclass
@dataclass(frozen=True)
class Gram(LinearOperator):
    """A linear map with the eigenvectors V of A^T A, which are known: U = A V / s needs nothing more; made by `gram`.

    The smallest singular value counted is `GRAM` of the largest, as A^T A has their squares.
    """

    forth: Any
    """A, (n, *shape) -> (n, m), a pytree that is linear"""
    turn: Any
    """V^T, (n, *shape) -> (n, d), and by `back` V, a pytree"""
    values: Any
    """(r,)"""
    order: Any
    """(d,) int, places in the grid of coordinates, the observed ones first"""
    shape: tuple[int, ...] = field(metadata={"static": True})
    size: int = field(metadata={"static": True})

    @property
    def s(self) -> Any:
        """(r,)."""
        return self.values

    def __call__(self, x: Array) -> Array:
        """A x."""
        return self.forth(x)

    def to_basis(self, x: Array) -> Array:
        """V^T x."""
        return self.turn(x)[:, self.order]

    def from_basis(self, z: Array) -> Array:
        """V z."""
        return self.turn.back(z[:, jnp.argsort(jnp.asarray(self.order))])

    def adjoint(self, y: Array) -> Array:
        """A^T y."""
        back = jax.linear_transpose(self.forth, jax.ShapeDtypeStruct((y.shape[0], *self.shape), y.dtype))
        return back(y)[0]

    def to_data(self, c: Array) -> Array:
        """U c."""
        return self.forth(self._spread(c / jnp.asarray(self.s, c.dtype)))

    def from_data(self, y: Array) -> Array:
        """U^T y."""
        return self.to_basis(self.adjoint(y))[:, : self.rank] / jnp.asarray(self.s, y.dtype)


GRAM = 1e-4


def gram(forth: Any, turn: Any, squares: Any, shape: Sequence[int], size: int) -> Gram:
    """The operator A = `forth` of items of `shape` to `size` numbers, with A^T A = V diag(squares) V^T.

    Args:
        forth: (n, *shape) -> (n, size), linear, a pytree.
        turn: V^T, (n, *shape) -> (n, d), with the method `back`, V.
        squares: (d,) eigenvalues of A^T A, concrete.
        shape: of an item.
        size: numbers measured.
    """
    order, values = _ordered(np.sqrt(np.maximum(np.asarray(squares, np.float64).ravel(), 0)), GRAM)
    return Gram(forth, turn, values, order, tuple(shape), size)


def convolution(kernel: Any, shape: Sequence[int]) -> Convolution:
    """Circular convolution of images of `shape` (h, w, c) with a concrete kernel (a, b) about (a // 2, b // 2)."""
    kernel, (h, w, c) = np.asarray(kernel, np.float64), shape
    a, b = kernel.shape
    if a > h or b > w:
        raise UsageError(f"the kernel of {a} x {b} is larger than the image of {h} x {w}")
    padded = np.pad(kernel, ((0, h - a), (0, w - b)))
    f = np.fft.fft2(np.roll(padded, (-(a // 2), -(b // 2)), (0, 1)))
    size = np.abs(f)
    counts = size > TOLERANCE * size.max()
    order, values = _ordered(np.repeat(size[..., None], c, -1).ravel())
    return Convolution(np.where(counts, f / np.where(counts, size, 1.0), 1.0), values, order, (h, w, c))
