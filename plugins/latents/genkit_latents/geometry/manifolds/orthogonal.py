"""Rotations, orthonormal frames, and subspaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import Manifold, Sized
from genkit_latents.geometry.manifolds.spd import inverse_sqrtm
from genkit_latents.implicit import solution

Array = jax.Array
STEPS = 60  # of the logarithm of Stiefel manifolds


def _t(a: Array) -> Array:
    return jnp.swapaxes(a, -1, -2)


def _skew(a: Array) -> Array:
    return (a - _t(a)) / 2


def _over(u: Array, top: Array, first: float, second: float) -> Array:
    """top / 2u, and the series first + second u about 0."""
    small = jnp.abs(u) < 1e-4
    return jnp.where(small, first + second * u, top / jnp.where(small, 1, 2 * u))


_cosc = safe.symmetric(safe.cosc, lambda u: -safe.sinc(u) / 2)
_sinc = safe.symmetric(safe.sinc, lambda u: _over(u, safe.cosc(u) - safe.sinc(u), -1 / 6, 1 / 60))
_artanc = safe.symmetric(safe.artanc, lambda u: _over(u, 1 / (1 + u) - safe.artanc(u), -1 / 3, 2 / 5))


@partial(jnp.vectorize, signature="(n,n)->(n,n)")
def rotation_log(r: Array) -> Array:
    """The least skew matrix W (..., n, n) with r = exp W, of angles up to pi; at pi one of two, see `_principal`."""
    return solution(_principal, _left, _turned, r)[0]


def _principal(r: Array) -> tuple[Array, None]:
    """(R - R') / 2 times angle / sine: its two parts commute, so cosines are eigenvalues of (R + R') / 2 and sines
    lengths of columns in that basis. Half turns, whose sines are lost, are taken in planes of that basis."""
    cosines, v, b, sines = _turns(r)
    half = jnp.repeat(_half_turns(cosines, sines), 2)
    half = jnp.zeros(len(r), bool).at[: len(half)].set(half)  # they come first
    scale = jnp.where(half, 0, safe.arc(jnp.where(half, 1, jnp.square(sines)), cosines))
    planes = jnp.asarray(np.kron(np.eye(len(r) // 2), [[0, -1], [1, 0]]), r.dtype)
    planes = jnp.zeros_like(r).at[: len(planes), : len(planes)].set(planes)
    return _skew(v @ (b * scale + jnp.pi * planes * half) @ _t(v)), None


def _turns(r: Array) -> tuple[Array, Array, Array, Array]:
    """Cosines (n,) of the angles, rising, the basis (n, n), (R - R') / 2 in it, and sines (n,)."""
    cosines, v = jnp.linalg.eigh((r + _t(r)) / 2)
    b = _t(v) @ _skew(r) @ v
    return cosines, v, b, safe.root(jnp.square(b).sum(0))


def _half_turns(cosines: Array, sines: Array) -> Array:
    """Which angles, one a plane, count as pi, (n // 2,): where rounding of the sine, eps, turns the plane by more than
    the sine. Cosines tell angles near pi apart only to 1e2 eps, so several have no planes of their own: all count."""
    eps, planes = jnp.finfo(cosines.dtype).eps, len(cosines) // 2
    near = cosines[1 : 2 * planes : 2] < -1 + 100 * eps
    lost = sines[: 2 * planes].reshape(planes, 2).max(1) < eps**0.5
    return near & (lost | (near.sum() > 1))


@partial(jnp.vectorize, signature="(n,n)->()")
def _below_pi(r: Array) -> Array:
    cosines, _, _, sines = _turns(r)
    return ~_half_turns(cosines, sines).any()


def _left(w: Array, r: Array) -> Array:
    """(n (n - 1) / 2,), zero where exp W = R."""
    return (_expm(-w) @ r)[np.triu_indices(len(r), 1)]


def _turned(w: Array, r: Array, a: Array) -> Array:
    return w + jnp.tensordot(a, jnp.asarray(_planes(len(r)), r.dtype), 1)


@register_dataclass
@dataclass(frozen=True)
class SpecialOrthogonal(Sized):
    """Rotations of R^n, <U, V> = tr(U'V) / 2: in three dimensions the distance is the angle."""

    n: int = field(default=3, metadata={"static": True})

    @property
    def dim(self) -> int:
        """n (n - 1) / 2."""
        return self.n * (self.n - 1) // 2

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.n, self.n)

    @property
    def origin(self) -> Array:
        """The identity."""
        return jnp.eye(self.n)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """tr(U'V) / 2."""
        return (u * v).sum((-2, -1)) / 2

    def exp(self, x: Array, v: Array) -> Array:
        """X exp(X'V), put back on the manifold."""
        return self.project(x @ _expm(_skew(_t(x) @ v)))

    def log(self, x: Array, y: Array) -> Array:
        """X log(X'Y)."""
        return x @ rotation_log(_t(x) @ y)

    def dist(self, x: Array, y: Array) -> Array:
        """Root of the sum of squared angles."""
        v = rotation_log(_t(x) @ y)
        return safe.root((v * v).sum((-2, -1)) / 2)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """X e^(a/2) W e^(a/2) with V = X W, a = log(X'Y)."""
        half = _expm(rotation_log(_t(x) @ y) / 2)
        return x @ half @ (_t(x) @ v) @ half

    def frame(self, x: Array) -> Array:
        """Rotations in the planes of two axes."""
        return x @ jnp.asarray(_planes(self.n), x.dtype)

    def tangent(self, x: Array, v: Array) -> Array:
        """X skew(X'V)."""
        return x @ _skew(_t(x) @ v)

    def gradient(self, x: Array, g: Array) -> Array:
        """Twice the tangent part, since the metric is half of the Euclidean one."""
        return 2 * self.tangent(x, g)

    def project(self, x: Array) -> Array:
        """The polar factor, after the last column has turned where the determinant is negative."""
        sign = jnp.where(jnp.linalg.det(x) < 0, -1, 1)[..., None]
        return _polar(x.at[..., :, -1].multiply(sign))

    def inside(self, x: Array) -> Array:
        """X'X = I and det X > 0, to rounding."""
        return _orthonormal(x) & (jnp.linalg.det(x) > 0)

    def unique(self, x: Array, y: Array) -> Array:
        """False where an angle is pi."""
        return _below_pi(_t(x) @ y)


@dataclass(frozen=True)
class Frames(Manifold):
    """p orthonormal columns in R^n, as points or as representatives."""

    n: int = field(default=3, metadata={"static": True})
    p: int = field(default=2, metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not 1 <= self.p <= self.n:
            raise UsageError(f"n={self.n}, p={self.p}: expected 1 <= p <= n")

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, p)."""
        return (self.n, self.p)

    @property
    def origin(self) -> Array:
        """The first axes."""
        return jnp.eye(self.n, self.p)

    def project(self, x: Array) -> Array:
        """The nearest orthonormal columns, the polar factor."""
        return _polar(x)

    def inside(self, x: Array) -> Array:
        """X'X = I, to rounding."""
        return _orthonormal(x)

    def _beside(self, x: Array) -> Array:
        """U E for an orthonormal basis U (n, n - p) of what X leaves and the units E, (p (n - p), n, p)."""
        u = jax.lax.stop_gradient(jnp.linalg.qr(x, mode="complete")[0][:, self.p :])
        u = u - x @ (_t(x) @ u)  # moves with X
        return jnp.einsum("ni,jp->ijnp", u, jnp.eye(self.p, dtype=x.dtype)).reshape(-1, *self.shape)


@register_dataclass
@dataclass(frozen=True)
class Grassmann(Frames):
    """Subspaces of dimension p in R^n by orthonormal bases X; <U, V> = tr(U'V) for X'U = 0 (Edelman et al. 1998)."""

    @property
    def dim(self) -> int:
        """p (n - p)."""
        return self.p * (self.n - self.p)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """tr(U'V)."""
        return (u * v).sum((-2, -1))

    def exp(self, x: Array, v: Array) -> Array:
        """X cos(S) + V sin(S) / S with S^2 = V'V, as on a sphere."""
        u = _t(v) @ v
        return self.project(x @ _cosc(u) + v @ _sinc(u))

    def frame(self, x: Array) -> Array:
        """One column towards one direction that X leaves."""
        return self._beside(x)

    def _tangents(self, x: Array, y: Array) -> Array:
        """(I - XX') Y (X'Y)^-1: tangents of the principal angles along their directions."""
        m = _t(x) @ y
        return _t(jnp.linalg.solve(_t(m), _t(y - x @ m)))

    def log(self, x: Array, y: Array) -> Array:
        """T arctan(S) / S with T = (I - XX') Y (X'Y)^-1, S^2 = T'T; for principal angles below pi / 2."""
        tangents = self._tangents(x, y)
        return tangents @ _artanc(_t(tangents) @ tangents)

    def dist(self, x: Array, y: Array) -> Array:
        """Root of the sum of squared principal angles."""
        return safe.norm(jnp.arctan2(*_sines(x, y)))

    def unique(self, x: Array, y: Array) -> Array:
        """False where a principal angle is pi / 2."""
        return jnp.linalg.svd(_t(x) @ y, compute_uv=False)[..., -1] > 1e2 * jnp.finfo(x.dtype).eps

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """(-X W sin(S) U' + U cos(S) U' + I - UU') V, in the basis exp(log) of the end."""
        u, tangents, w = jnp.linalg.svd(self._tangents(x, y), full_matrices=False)
        a = jnp.arctan(tangents)
        inside = _t(u) @ v
        return v + (u * (jnp.cos(a) - 1)[..., None, :] - x @ _t(w) * jnp.sin(a)[..., None, :]) @ inside

    def tangent(self, x: Array, v: Array) -> Array:
        """(I - XX') V."""
        return v - x @ (_t(x) @ v)

    def gradient(self, x: Array, g: Array) -> Array:
        """The tangent part."""
        return self.tangent(x, g)


@register_dataclass
@dataclass(frozen=True)
class Stiefel(Frames):
    """Orthonormal columns with the canonical metric <U, V> = tr U' (I - XX'/2) V (Edelman et al. 1998)."""

    @property
    def dim(self) -> int:
        """n p - p (p + 1) / 2."""
        return self.n * self.p - self.p * (self.p + 1) // 2

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """tr U'V - tr (X'U)'(X'V) / 2."""
        return (u * v).sum((-2, -1)) - ((_t(x) @ u) * (_t(x) @ v)).sum((-2, -1)) / 2

    def exp(self, x: Array, v: Array) -> Array:
        """exp(VX' - XV' - XAX') X, A = X'V."""
        return self.project(_expm(v @ _t(x) - x @ _t(v) - x @ _skew(_t(x) @ v) @ _t(x)) @ x)

    def log(self, x: Array, y: Array) -> Array:
        """The inverse of exp by the iteration of Zimmermann 2017 (arXiv 1604.05054), for 2 p <= n; NaN where its STEPS
        do not find it, which is for points that are far apart."""
        if 2 * self.p > self.n:
            raise UsageError(f"the logarithm on Stiefel({self.n}, {self.p}) is for 2 p <= n")
        one = jnp.vectorize(
            lambda *ends: solution(_search, _short, _moved, (self, *ends))[0], signature="(n,p),(n,p)->(n,p)"
        )
        return one(x, y)

    def dist(self, x: Array, y: Array) -> Array:
        """Length of the logarithm."""
        return self.norm(x, self.log(x, y))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """The tangent part of V at Y: a vector transport, not the parallel one, which has no closed form."""
        return self.tangent(y, v)

    def frame(self, x: Array) -> Array:
        """Rotations of two columns, and one column towards one direction that X leaves."""
        return jnp.concatenate([x @ jnp.asarray(_planes(self.p), x.dtype), self._beside(x)])

    def tangent(self, x: Array, v: Array) -> Array:
        """V - X sym(X'V)."""
        m = _t(x) @ v
        return v - x @ (m + _t(m)) / 2

    def gradient(self, x: Array, g: Array) -> Array:
        """G - X G'X."""
        return g - x @ _t(g) @ x


def _search(args: tuple[Stiefel, Array, Array]) -> tuple[Array, None]:
    manifold, x, y = args
    p = manifold.p
    m = _t(x) @ y
    q, r = jnp.linalg.qr(y - x @ m)
    left = jnp.concatenate([m, r])
    whole = jnp.concatenate([left, jnp.linalg.qr(left, mode="complete")[0][:, p:]], -1)
    whole = whole.at[:, -1].multiply(jnp.where(jnp.linalg.det(whole) < 0, -1, 1))

    def move(v: Array, _: None) -> tuple[Array, None]:
        return jnp.concatenate([v[:, :p], v[:, p:] @ _expm(-rotation_log(v)[p:, p:])], -1), None

    whole, _ = jax.lax.scan(move, whole, None, length=STEPS)
    found = rotation_log(whole)[:, :p]
    v = x @ found[:p] + q @ found[p:]
    arrives = jnp.abs(manifold.exp(x, v) - y).max() < jnp.finfo(x.dtype).eps ** 0.5
    return jnp.where(arrives, v, jnp.nan), None


def _short(v: Array, args: tuple[Stiefel, Array, Array]) -> Array:
    """(dim,), zero where exp(x, v) = y."""
    manifold, x, y = args
    return manifold.components(y, manifold.exp(x, v) - y)


def _moved(v: Array, args: tuple[Stiefel, Array, Array], a: Array) -> Array:
    manifold, x, _ = args
    return manifold.tangent(x, v + manifold.vector(x, a))


def _polar(x: Array) -> Array:
    return x @ inverse_sqrtm(_t(x) @ x)


def _expm(a: Array) -> Array:
    return jax.scipy.linalg.expm(a)


def _sines(x: Array, y: Array) -> tuple[Array, Array]:
    """Sines and cosines of the principal angles: both, so that small and large ones are right."""
    m = _t(x) @ y
    cosines = jnp.linalg.svd(m, compute_uv=False)
    sines = jnp.linalg.svd(y - x @ m, compute_uv=False)[..., ::-1]
    return sines, cosines


def _orthonormal(x: Array) -> Array:
    return jnp.abs(_t(x) @ x - jnp.eye(x.shape[-1])).max((-2, -1)) < 100 * jnp.finfo(x.dtype).eps


def _planes(n: int) -> np.ndarray:
    rows, columns = np.triu_indices(n, 1)
    found = np.zeros((len(rows), n, n))
    found[np.arange(len(rows)), rows, columns], found[np.arange(len(rows)), columns, rows] = -1, 1
    return found
