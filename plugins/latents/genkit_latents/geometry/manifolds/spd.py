"""Symmetric positive definite matrices with the affine-invariant metric."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import Sized

Array = jax.Array

sqrtm = safe.symmetric(jnp.sqrt, lambda a: 0.5 / jnp.sqrt(a))
inverse_sqrtm = safe.symmetric(lambda a: 1 / jnp.sqrt(a), lambda a: -0.5 * a**-1.5)
logm = safe.symmetric(jnp.log, lambda a: 1 / a)
expm = safe.symmetric(jnp.exp, jnp.exp)


def _t(a: Array) -> Array:
    return jnp.swapaxes(a, -1, -2)


@register_dataclass
@dataclass(frozen=True)
class SPD(Sized):
    """n x n matrices with <U, V>_X = tr(X^-1 U X^-1 V): no border at finite distance, invariant under X -> A X A'."""

    hadamard = True

    @property
    def dim(self) -> int:
        """n (n + 1) / 2."""
        return self.n * (self.n + 1) // 2

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.n, self.n)

    @property
    def origin(self) -> Array:
        """The identity."""
        return jnp.eye(self.n)

    def _centred(self, x: Array, v: Array) -> Array:
        """X^-1/2 V X^-1/2."""
        r = inverse_sqrtm(x)
        return r @ v @ r

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """tr(X^-1 U X^-1 V)."""
        return (self._centred(x, u) * self._centred(x, v)).sum((-2, -1))

    def exp(self, x: Array, v: Array) -> Array:
        """X^1/2 exp(X^-1/2 V X^-1/2) X^1/2."""
        r = sqrtm(x)
        return self.project(r @ expm(self._centred(x, v)) @ r)

    def log(self, x: Array, y: Array) -> Array:
        """X^1/2 log(X^-1/2 Y X^-1/2) X^1/2."""
        r = sqrtm(x)
        return r @ logm(self._centred(x, y)) @ r

    def dist(self, x: Array, y: Array) -> Array:
        """Root of the sum of squared logs of the eigenvalues of L^-1 Y L^-T, X = L L'."""
        lower, y = jnp.broadcast_arrays(jnp.linalg.cholesky(x), y)
        half = jax.lax.linalg.triangular_solve(lower, y, left_side=True, lower=True)
        whole = jax.lax.linalg.triangular_solve(lower, half, lower=True, transpose_a=True)
        return safe.root(jnp.square(jnp.log(jnp.linalg.eigvalsh(whole))).sum(-1))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """E V E', E = (Y X^-1)^1/2."""
        r = sqrtm(x)
        e = r @ sqrtm(self._centred(x, y)) @ inverse_sqrtm(x)
        return e @ v @ _t(e)

    def frame(self, x: Array) -> Array:
        """X^1/2 B X^1/2 for an orthonormal basis B of symmetric matrices."""
        basis = np.zeros((self.dim, self.n, self.n))
        for k, (i, j) in enumerate(zip(*np.triu_indices(self.n), strict=True)):
            basis[k, i, j] = basis[k, j, i] = 1 if i == j else 0.5**0.5
        r = sqrtm(x)
        return r @ jnp.asarray(basis, x.dtype) @ r

    def gradient(self, x: Array, g: Array) -> Array:
        """X sym(g) X."""
        return x @ self.tangent(x, g) @ x

    def tangent(self, x: Array, v: Array) -> Array:
        """The symmetric part."""
        return (v + _t(v)) / 2

    def project(self, x: Array) -> Array:
        """The symmetric part."""
        return (x + _t(x)) / 2

    def inside(self, x: Array) -> Array:
        """Symmetric to rounding, with positive eigenvalues."""
        scale = jnp.abs(x).max((-2, -1))
        even = jnp.abs(x - _t(x)).max((-2, -1)) <= 100 * jnp.finfo(x.dtype).eps * scale
        return even & (jnp.linalg.eigvalsh(x)[..., 0] > 0)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """sum over i < j of log(sinh(g) / g), g = |a_i - a_j| / 2 for the eigenvalues a of X^-1/2 V X^-1/2."""
        a = jnp.linalg.eigvalsh(self._centred(x, v))
        i, j = np.triu_indices(self.n, 1)
        return safe.log_sinhc(jnp.abs(a[..., i] - a[..., j]) / 2).sum(-1)
