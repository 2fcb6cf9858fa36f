"""What is measured of items: linear operators by singular values, any function beside them.

A linear operator is A = U diag(s) V^T. In the basis of V the likelihood of every linear measurement is diagonal, and as
V is orthogonal the noise of a diffusion is white there too. Methods need no matrix, only the four rotations; one set of
operators serves them all. Coordinates V^T x come with the r observed ones first, those of the singular values s (r,);
all other are unobserved. A `Function` has no such basis: its coordinates are the numbers of the item as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from genkit.chain import callable_tree
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
MOST = 10**8  # numbers of a matrix that is made of an operator


def check_matrix(rows: int, columns: int, advice: str) -> None:
    """Refuse a matrix of more than 10^8 numbers before it is made; `advice` is what to do instead."""
    if rows * columns > MOST:
        raise UsageError(f"a matrix of {rows} x {columns} has more than {MOST:.0e} numbers; {advice}")


class Operator:
    """A map of items to measurements; subclasses are frozen dataclasses, registered pytrees.

    Items x have the shape `shape` and d = prod(shape) numbers, measurements `size` = m numbers.
    """

    shape: tuple[int, ...]
    """Of an item."""
    size: int
    """Numbers of a measurement, m."""

    def __call__(self, x: Array) -> Array:
        """A(x), (n, m), of x (n, *shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    def to_basis(self, x: Array) -> Array:
        """Coordinates (n, d) of x (n, *shape)."""
        return x.reshape(x.shape[0], -1)

    def from_basis(self, z: Array) -> Array:
        """Items (n, *shape) of coordinates z (n, d)."""
        return z.reshape(z.shape[0], *self.shape)


@register_dataclass
@dataclass(frozen=True)
class Function(Operator):
    """Any differentiable function of items; made by `function`. ESSFlow takes one that is not."""

    f: Any
    shape: tuple[int, ...] = field(metadata={"static": True})
    size: int = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """f(x), flat."""
        return self.f(x).reshape(x.shape[0], self.size)


def function(f: Callable[[Array], Array], shape: Sequence[int]) -> Function:
    """An operator from a function of a batch of items (n, *shape) -> (n, ...), linear or not.

    Its adjoint and derivatives come by differentiation. Parameters, such as those of a decoder, are leaves where f is a
    pytree (`jax.tree_util.Partial(f, params)`).
    """
    f, shape = callable_tree(f), tuple(shape)
    try:
        y = jax.eval_shape(f, jax.ShapeDtypeStruct((2, *shape), float))
    except (TypeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"the function does not take two items of shape {shape}: {why}") from error
    if not hasattr(y, "shape") or y.shape[:1] != (2,) or not jnp.issubdtype(y.dtype, jnp.floating):
        raise UsageError(f"the function gave {y} for two items of shape {shape}; expected real numbers (2, ...)")
    return Function(f, shape, prod(y.shape[1:]))


class LinearOperator(Operator):
    """A linear map by its singular values: a subclass has the four rotations and `s`."""

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

    def whitened(self, std: Any) -> LinearOperator:
        """diag(1 / std) A, for noise of standard deviations std (m,)."""
        advice = "give one std, or the operator as function(...) to DPS, MMPS, TDS, DAPS, REDDiff or ESSFlow"
        check_matrix(self.size, prod(self.shape), advice)
        with jax.enable_x64(True):
            rows = np.asarray(self.adjoint(jnp.eye(self.size, dtype=float))).reshape(self.size, -1)
        return dense(rows / np.asarray(std)[:, None], self.shape)

    def _spread(self, c: Array) -> Array:
        return self.from_basis(jnp.pad(c, ((0, 0), (0, prod(self.shape) - self.rank))))


@register_dataclass
@dataclass(frozen=True)
class Dense(LinearOperator):
    """A matrix by its decomposition, in m d numbers and as many products; made by `dense`.

    V = (I - Y T Y^T) diag(P, I) with the k = min(m, d) reflections that make the rows triangular (the compact form of
    Schreiber and Van Loan 1989), so that a few rows of a large item need no matrix (d, d).
    """

    u: Any
    """(m, r)"""
    values: Any
    """(r,)"""
    y: Any
    """(d, k)"""
    t: Any
    """(k, k)"""
    p: Any
    """(k, k), columns of the observed coordinates first"""
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
        y, t, p = (jnp.asarray(a, x.dtype) for a in (self.y, self.t, self.p))
        x = x.reshape(x.shape[0], -1)
        x = x - (x @ y) @ t @ y.T
        return x.at[:, : len(p)].set(x[:, : len(p)] @ p)

    def from_basis(self, z: Array) -> Array:
        """V z."""
        y, t, p = (jnp.asarray(a, z.dtype) for a in (self.y, self.t, self.p))
        z = z.at[:, : len(p)].set(z[:, : len(p)] @ p.T)
        return (z - (z @ y) @ t.T @ y.T).reshape(z.shape[0], *self.shape)

    def to_data(self, c: Array) -> Array:
        """U c."""
        return c @ jnp.asarray(self.u, c.dtype).T

    def from_data(self, y: Array) -> Array:
        """U^T y."""
        return y @ jnp.asarray(self.u, y.dtype)


def dense(matrix: Any, shape: Sequence[int] | None = None, tolerance: float = 1e-6) -> Dense:
    """An operator from a matrix (m, d), decomposed in float64; rows of a large item are cheap, it stores m d numbers.

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
    (reflections, tau), upper = scipy.linalg.qr(  # type: ignore[assignment]
        matrix.T.astype(np.float64), mode="raw"
    )
    k = len(tau)
    y = np.tril(reflections[:, :k], -1) + np.eye(len(reflections), k)
    t = np.diag(tau)
    for j in range(1, k):
        t[:j, j] = -tau[j] * t[:j, :j] @ (y[:, :j].T @ y[:, j])
    u, s, pt = np.linalg.svd(upper[:k].T, full_matrices=False)
    r = int((s > tolerance * s[0]).sum())
    if r == 0:
        raise UsageError("the matrix is zero: it measures nothing")
    return Dense(u[:, :r], s[:r], y, t, pt.T, shape)


@register_dataclass
@dataclass(frozen=True)
class Mask(LinearOperator):
    """Some of the numbers of an item as they are, or each times a number; made by `mask`."""

    order: Any
    """(d,) int, places of the item's numbers, the observed ones first"""
    values: Any
    """(m,) what each is multiplied by: ones"""
    shape: tuple[int, ...] = field(metadata={"static": True})
    size: int = field(metadata={"static": True})

    @property
    def s(self) -> Any:
        """(m,)."""
        return self.values

    def whitened(self, std: Any) -> Mask:
        """Each number over its std (m,)."""
        return replace(self, values=self.values / std)

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
    return Mask(order, np.ones(seen.sum()), seen.shape, int(seen.sum()))


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
        check_matrix(self.rows, d, "take fewer rows")
        matrix = np.random.default_rng(self.seed).normal(size=(self.rows, d)) / np.sqrt(self.rows)
        return dense(matrix, shape)
