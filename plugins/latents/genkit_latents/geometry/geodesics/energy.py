"""Geodesics as curves of least energy: polygons and splines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.errors import UsageError
from genkit_latents.geometry.geodesics.newton import minimise, tridiagonal
from genkit_latents.geometry.geodesics.result import Geodesic, begin, finish, limit
from genkit_latents.geometry.metric import square
from genkit_latents.geometry.paths import energy, pieces
from genkit_latents.implicit import shifted, solution
from genkit_latents.safe import root

Array = jax.Array


def relative(extent: Array, value: Array, gradient: Array) -> Array:
    """The residual: largest |gradient of the energy| times the extent of the ends, over the energy; no units."""
    value = jnp.where(value > 0, value, 1)
    return jnp.abs(gradient).max(initial=0) * extent / value


def piece_energy(metric: Any, segments: int, ends: Array) -> Array:
    """Energy of one piece from its ends (2d,)."""
    return 0.5 * segments * pieces(metric, ends.reshape(2, -1))[0]


def whole(p: Array, inner: Array, q: Array) -> Array:
    """The curve with its ends."""
    return jnp.concatenate([p[None], inner, q[None]])


def _slope(inner: Array, args: Any) -> Array:
    """Of the energy, zero at the geodesic."""
    metric, p, q, _ = args
    return jax.grad(lambda inner: energy(metric, whole(p, inner, q)))(inner)


@dataclass(frozen=True)
class Energy:
    """A polygon whose energy by the midpoint rule is least; the length has an error of order segments^-2.

    A metric with chords (an embedded surface) needs no Jacobian. The residual is the largest |dE/dc| times |q - p| / E.
    """

    segments: int = 32
    """Pieces of the polygon."""
    method: Literal["newton", "lbfgs"] = "newton"
    """Newton's method with a block-tridiagonal Hessian, of cost segments d^3; or L-BFGS, for many dimensions."""
    iterations: int = 100
    """At most (L-BFGS: ten times as many)."""
    tolerance: float | None = None
    """Of the residual; if not given 1e-8 in float64 and 1e-4 in float32. For ends so close that their coordinates share
    most digits it is what rounding leaves."""
    even: float = 0.2
    """Largest allowed excess of the longest over the shortest piece; more says that there are too few segments."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.segments < 2 or self.iterations < 1:
            raise UsageError(f"segments={self.segments}, iterations={self.iterations}: expected at least 2 and 1")

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        args = metric, p, q, begin(p, q, self.segments, init)
        inner, (iterations, residual, tolerance) = solution(self._find, _slope, shifted, args)
        return finish(metric, whole(p, inner, q), iterations, residual, tolerance, self.even)

    def _find(self, args: Any) -> Any:
        metric, p, q, first = args
        extent = jnp.abs(q - p).max()
        size = jnp.maximum(jnp.abs(p).max(), jnp.abs(q).max()) / jnp.where(extent > 0, extent, 1)
        rounding = 4 * self.segments * jnp.finfo(p.dtype).eps * size
        tolerance = jnp.maximum(limit(self.tolerance, p.dtype, 1e-8, 1e-4), rounding)

        def value(inner: Array) -> Array:
            return energy(metric, whole(p, inner, q))

        size = partial(relative, extent)
        if self.method == "newton":
            newton = partial(self._newton, metric, lambda inner: whole(p, inner, q))
            end = minimise(value, newton, size, first[1:-1], tolerance, self.iterations)
            return end.x, (end.iterations, end.residual, tolerance)
        inner, iterations, residual = lbfgs(value, size, first[1:-1], tolerance, 10 * self.iterations)
        return inner, (iterations, residual, tolerance)

    def _newton(self, metric: Any, complete: Any, inner: Array) -> Any:
        """The gradient at the inner points, and the step for a damping."""
        curve = complete(inner)
        d = curve.shape[1]
        one = partial(piece_energy, metric, self.segments)
        ends = jnp.concatenate([curve[:-1], curve[1:]], 1)
        slopes, hessians = jax.vmap(jax.grad(one))(ends), jax.vmap(jax.hessian(one))(ends)
        gradient = slopes[:-1, d:] + slopes[1:, :d]
        diagonal = hessians[:-1, d:, d:] + hessians[1:, :d, :d]
        upper = hessians[1:-1, :d, d:]
        mean = jnp.trace(diagonal, axis1=1, axis2=2).mean() / d

        def solve(damping: Array) -> Array:
            return -tridiagonal(diagonal + damping * mean * jnp.eye(d, dtype=curve.dtype), upper, gradient)

        return gradient, solve


def lbfgs(value: Any, size: Any, x: Array, tolerance: Any, most: int) -> tuple[Array, Array, Array]:
    """Minimise by L-BFGS with a line search (optax); (x, iterations, residual)."""
    search = optax.lbfgs()
    both = optax.value_and_grad_from_state(value)

    def more(s: Any) -> Array:
        _, _, i, residual = s
        return (residual > tolerance) & (i < most)

    def move(s: Any) -> Any:
        x, state, i, _ = s
        now, gradient = both(x, state=state)
        update, state = search.update(gradient, state, x, value=now, grad=gradient, value_fn=value)
        x = optax.apply_updates(x, update)
        now, gradient = both(x, state=state)
        return x, state, i + 1, size(now, gradient)

    first = size(*jax.value_and_grad(value)(x))
    x, _, iterations, residual = jax.lax.while_loop(more, move, (x, search.init(x), jnp.int32(0), first))
    return x, iterations, residual


@dataclass(frozen=True)
class Spline:
    """A cubic spline between fixed ends whose energy is least: few numbers for smooth curves.

    As in stochman (Detlefsen et al. 2021), but with Newton's method and Gauss quadrature in place of Adam, which often
    stops before it has converged. The residual is that of `Energy`, for the coefficients.
    """

    nodes: int = 5
    """Knots, the ends included."""
    segments: int = 32
    """Pieces of the polygon that is returned; length is that of the spline."""
    iterations: int = 100
    """At most."""
    tolerance: float | None = None
    """Of the residual; if not given 1e-8 in float64 and 1e-4 in float32."""
    even: float = 0.2
    """Largest allowed excess of the longest over the shortest piece."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.nodes < 2 or self.segments < 2 or self.iterations < 1:
            raise UsageError(f"{self}: expected at least 2 nodes, 2 segments and 1 iteration")

    def _basis(self, t: np.ndarray, slope: int) -> np.ndarray:
        """Cubic B-splines that vanish at both ends, or their slopes, (len(t), nodes)."""
        from scipy.interpolate import BSpline

        knots = np.r_[np.zeros(3), np.linspace(0, 1, self.nodes), np.ones(3)]
        splines = BSpline(knots, np.eye(self.nodes + 2), 3)
        return (splines.derivative()(t) if slope else splines(t))[:, 1:-1]

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        args = metric, p, q, begin(p, q, self.segments, init)
        a, (iterations, residual) = solution(self._find, self._slope, shifted, args)
        shown = jnp.asarray(self._basis(np.linspace(0, 1, self.segments + 1), 0), p.dtype)
        curve = begin(p, q, self.segments, None) + shown @ a.reshape(self.nodes, -1)
        curve = curve.at[0].set(p).at[-1].set(q)
        _, weights = self._quadrature()
        length = (jnp.asarray(weights, p.dtype) * root(self._speed(metric, p, q, a))).sum()
        tolerance = limit(self.tolerance, p.dtype, 1e-8, 1e-4)
        return finish(metric, curve, iterations, residual, tolerance, self.even, length)

    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and weights."""
        nodes, weights = np.polynomial.legendre.leggauss(5)
        cells = 2 * (self.nodes - 1)
        return (np.arange(cells)[:, None] + 0.5 + nodes / 2).ravel() / cells, np.tile(weights / 2, cells) / cells

    def _speed(self, metric: Any, p: Array, q: Array, a: Array) -> Array:
        """Squared, at the times of the quadrature, for coefficients a (nodes * d,)."""
        t, _ = self._quadrature()
        basis, slopes = (jnp.asarray(self._basis(t, k), p.dtype) for k in (0, 1))
        line = (1 - jnp.asarray(t, p.dtype)[:, None]) * p + jnp.asarray(t, p.dtype)[:, None] * q
        a = a.reshape(self.nodes, -1)
        return jax.vmap(lambda z, v: square(metric, z, v))(line + basis @ a, q - p + slopes @ a)

    def _energy(self, a: Array, args: Any) -> Array:
        metric, p, q, _ = args
        return 0.5 * (jnp.asarray(self._quadrature()[1], p.dtype) * self._speed(metric, p, q, a)).sum()

    def _slope(self, a: Array, args: Any) -> Array:
        return jax.grad(self._energy)(a, args)

    def _find(self, args: Any) -> Any:
        _, p, q, first = args
        value = partial(self._energy, args=args)

        def newton(a: Array) -> Any:
            gradient, hessian = jax.grad(value)(a), jax.hessian(value)(a)
            mean = jnp.trace(hessian) / a.size
            return gradient, lambda damping: -jnp.linalg.solve(hessian + damping * mean * jnp.eye(a.size), gradient)

        bend = first - begin(p, q, self.segments, None)
        seen = np.linalg.pinv(self._basis(np.linspace(0, 1, self.segments + 1), 0))
        start = (jnp.asarray(seen, p.dtype) @ bend).ravel()
        size, tolerance = partial(relative, jnp.abs(q - p).max()), limit(self.tolerance, p.dtype, 1e-8, 1e-4)
        end = minimise(value, newton, size, start, tolerance, self.iterations)
        return end.x, (end.iterations, end.residual)


@dataclass(frozen=True)
class Refined:
    """`Energy` with N and with 2 N segments: the length (4 L_2N - L_N) / 3 has an error of order N^-4.

    The curve is the finer one; `error` estimates the relative error of its uncorrected length, |L_2N - L_N| / (3 L),
    far above that of the length which is returned.
    """

    solver: Energy = Energy(16)
    """The coarser solver."""

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        coarse = self.solver(metric, p, q, init)
        fine = replace(self.solver, segments=2 * self.solver.segments)(metric, p, q, coarse.curve)
        length = (4 * fine.length - coarse.length) / 3
        error = jnp.abs(fine.length - coarse.length) / (3 * jnp.where(length > 0, length, 1))
        return fine._replace(
            length=length,
            energy=(4 * fine.energy - coarse.energy) / 3,
            converged=fine.converged & coarse.converged,
            iterations=fine.iterations + coarse.iterations,
            error=error,
        )
