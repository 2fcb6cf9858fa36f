"""Geodesics as solutions of the geodesic equation: shooting, collocation, a Gaussian process as fixed point."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit_latents.geometry.geodesics.newton import root_find
from genkit_latents.geometry.geodesics.result import Geodesic, begin, finish, limit
from genkit_latents.geometry.metric import acceleration, square
from genkit_latents.geometry.paths import shoot
from genkit_latents.implicit import shifted, solution
from genkit_latents.safe import root

Array = jax.Array


def _extent(p: Array, q: Array) -> Array:
    """|q - p|, 1 where they meet."""
    extent = jnp.abs(q - p).max()
    return jnp.where(extent > 0, extent, 1)


@dataclass(frozen=True)
class Shooting:
    """Newton's method on the first velocity v of exp_p(v) = q; the Jacobian is that of the Runge-Kutta steps.

    Exact to order steps^-4. Finds a geodesic, not always the shortest: start it from another solver's curve. The
    residual is |exp_p(v) - q| / |q - p|.
    """

    steps: int = 64
    """Runge-Kutta steps, and pieces of the curve."""
    iterations: int = 30
    """At most."""
    tolerance: float | None = None
    """Of the residual; if not given 1e-10 in float64 and 1e-5 in float32."""
    even: float = 0.2
    """Largest allowed excess of the longest over the shortest piece."""

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        args = metric, p, q, begin(p, q, self.steps, init)
        v, (iterations, residual) = solution(self._find, self._miss, shifted, args)
        curve = shoot(metric, p, v, self.steps).curve
        speed = root(square(metric, p, v))
        tolerance = limit(self.tolerance, p.dtype, 1e-10, 1e-5)
        return finish(metric, curve, iterations, residual, tolerance, self.even, speed)

    def _miss(self, v: Array, args: Any) -> Array:
        metric, p, q, _ = args
        return shoot(metric, p, v, self.steps).curve[-1] - q

    def _find(self, args: Any) -> Any:
        _, p, q, first = args
        tolerance, v = limit(self.tolerance, p.dtype, 1e-10, 1e-5), self.steps * (first[1] - first[0])
        v, *notes = root_find(partial(self._miss, args=args), v, _extent(p, q), tolerance, self.iterations)
        return v, tuple(notes)


@dataclass(frozen=True)
class Collocation:
    """Hermite-Simpson collocation of the boundary value problem, of order segments^-4, by a dense Newton method.

    The scheme is that of scipy's `solve_bvp`. The residual is the largest defect of a step over its length and |q - p|.
    """

    segments: int = 30
    """Steps; the linear systems have 2 d (segments + 1) unknowns."""
    iterations: int = 30
    """At most."""
    tolerance: float | None = None
    """Of the residual; if not given 1e-9 in float64 and 1e-4 in float32."""
    even: float = 0.2
    """Largest allowed excess of the longest over the shortest piece."""

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        args = metric, p, q, begin(p, q, self.segments, init)
        y, (iterations, residual) = solution(self._find, self._defects, shifted, args)
        curve, speed = jnp.split(y.reshape(self.segments + 1, -1), 2, 1)
        length = root(jax.vmap(lambda z, v: square(metric, z, v))(curve, speed)).mean()  # it is constant
        curve = curve.at[0].set(p).at[-1].set(q)
        tolerance = limit(self.tolerance, p.dtype, 1e-9, 1e-4)
        return finish(metric, curve, iterations, residual, tolerance, self.even, length)

    def _defects(self, flat: Array, args: Any) -> Array:
        metric, p, q, _ = args
        d, h = p.shape[0], 1.0 / self.segments

        def field(y: Array) -> Array:
            return jnp.concatenate([y[d:], acceleration(metric, y[:d], y[d:])])

        y = flat.reshape(self.segments + 1, 2 * d)
        f = jax.vmap(field)(y)
        middle = (y[1:] + y[:-1]) / 2 - h / 8 * (f[1:] - f[:-1])
        gaps = (y[1:] - y[:-1]) / h - (f[:-1] + 4 * jax.vmap(field)(middle) + f[1:]) / 6
        return jnp.concatenate([y[0, :d] - p, gaps.ravel(), y[-1, :d] - q])

    def _find(self, args: Any) -> Any:
        _, p, q, curve = args
        h, tolerance = 1.0 / self.segments, limit(self.tolerance, p.dtype, 1e-9, 1e-4)
        slope = (curve[2:] - curve[:-2]) / (2 * h)
        speed = jnp.concatenate([(curve[1:2] - curve[:1]) / h, slope, (curve[-1:] - curve[-2:-1]) / h])
        start, defects = jnp.concatenate([curve, speed], 1).ravel(), partial(self._defects, args=args)
        y, *notes = root_find(defects, start, _extent(p, q), tolerance, self.iterations)
        return y, tuple(notes)


@dataclass(frozen=True)
class FixedPoint:
    """The curve is the mean of a Gaussian process that has the ends and the accelerations of the geodesic equation.

    Arvanitidis et al. 2019 (arXiv 1901.07229): c''_n <- f(c_n, c'_n) on a mesh, with no Jacobian of f. Robust where the
    metric is rough, slow where it is curved. The residual is the largest |c'' - f| over |q - p|.
    """

    mesh: int = 10
    """Points at which the equation holds."""
    segments: int = 32
    """Pieces of the curve that is returned."""
    scale: float = 0.4
    """Length scale of the squared-exponential kernel, in unit time."""
    noise: float = 1e-4
    """Standard deviation of the accelerations."""
    step: float = 0.5
    """Share of the new accelerations that is taken."""
    iterations: int = 1000
    """At most."""
    tolerance: float | None = None
    """Of the residual; if not given 1e-6 in float64 and 1e-3 in float32."""
    even: float = 0.2
    """Largest allowed excess of the longest over the shortest piece."""

    def __post_init__(self) -> None:
        """Check the options."""
        if self.mesh < 2 or not 0 < self.step <= 1 or min(self.scale, self.noise) <= 0:
            raise UsageError(f"{self}: expected mesh >= 2, 0 < step <= 1, scale > 0 and noise > 0")

    def _maps(self) -> tuple[np.ndarray, ...]:
        """What the accelerations do to the curve: matrices to c (segments + 1), to c and to c' on the mesh.

        The kernel has derivatives k^(a)(s - t) = He_a(r) (-1/l)^a k(r) with r = (s - t) / l; the bend is 0 at the ends.
        """
        mesh, shown = np.linspace(0, 1, self.mesh), np.linspace(0, 1, self.segments + 1)

        def k(s: np.ndarray, t: np.ndarray, a: int, b: int) -> np.ndarray:
            """Covariance of the a-th derivative at s and the b-th at t."""
            r = (s[:, None] - t[None]) / self.scale
            order = a + b
            hermite = np.polynomial.hermite_e.hermeval(r, [0] * order + [1])
            return (-1.0) ** a * self.scale**-order * hermite * np.exp(-(r**2) / 2)

        ends = np.array([0.0, 1.0])
        seen = np.block([[k(ends, ends, 0, 0), k(ends, mesh, 0, 2)], [k(mesh, ends, 2, 0), k(mesh, mesh, 2, 2)]])
        seen += np.diag(np.r_[np.full(2, 1e-10), np.full(self.mesh, self.noise**2)])
        gain = np.linalg.inv(seen)[:, 2:]

        def to(s: np.ndarray, a: int) -> np.ndarray:
            return np.hstack([k(s, ends, a, 0), k(s, mesh, a, 2)]) @ gain

        return to(shown, 0), to(mesh, 0), to(mesh, 1)

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """The geodesic from p (d,) to q (d,)."""
        args = metric, p, q, begin(p, q, self.segments, init)
        a, (iterations, residual) = solution(self._find, self._change, shifted, args)
        shown = jnp.asarray(self._maps()[0], p.dtype)
        curve = (begin(p, q, self.segments, None) + shown @ a).at[0].set(p).at[-1].set(q)
        tolerance = limit(self.tolerance, p.dtype, 1e-6, 1e-3)
        return finish(metric, curve, iterations, residual, tolerance, self.even)

    def _change(self, a: Array, args: Any) -> Array:
        """The wanted accelerations less a (mesh, d)."""
        metric, p, q, _ = args
        _, place, speed = (jnp.asarray(m, p.dtype) for m in self._maps())
        z, v = begin(p, q, self.mesh - 1, None) + place @ a, q - p + speed @ a
        return jax.vmap(lambda z, v: acceleration(metric, z, v))(z, v) - a

    def _find(self, args: Any) -> Any:
        _, p, q, curve = args
        tolerance, extent = limit(self.tolerance, p.dtype, 1e-6, 1e-3), _extent(p, q)

        def more(s: Any) -> Array:
            _, i, residual = s
            return (residual > tolerance) & (i < self.iterations) & jnp.isfinite(residual)

        def move(s: Any) -> Any:
            a, i, _ = s
            change = self._change(a, args)
            return a + self.step * change, i + 1, jnp.abs(change).max() / extent

        bend = curve - begin(p, q, self.segments, None)
        start = jnp.linalg.lstsq(jnp.asarray(self._maps()[0], p.dtype), bend, rcond=1e-4)[0]
        first = jnp.abs(self._change(start, args)).max() / extent
        first = jnp.where(jnp.isfinite(first), first, jnp.array(jnp.inf, p.dtype))
        a, *notes = jax.lax.while_loop(more, move, (start, jnp.int32(0), first))
        return a, tuple(notes)
