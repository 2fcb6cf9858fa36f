"""Functions whose usual formulas lose digits or gradients where a geometry needs them most.

Trigonometry of all curvatures k at once: with u = k s^2 the ratios below are analytic in u, also at u = 0, where the
sphere (u > 0) turns into hyperbolic space (u < 0). So tan_k(s) = s tanc(k s^2), and no function divides by sqrt(k).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
SMALL = 1e-2  # |u| below which the series serves; its first neglected term is then below 1e-17
TERMS = 8
FEW = 4  # numbers of a row up to which a dot product is written out: a CPU adds them faster than it reduces an axis


def norm(x: Array, keepdims: bool = False) -> Array:
    """Euclidean norm of the last axis; its gradient at 0 is 0."""
    return root(dot(x, x, keepdims))


def root(x: Array) -> Array:
    """Square root of x >= 0 whose derivative at 0 is 0; what lies below 0 by rounding counts as 0, NaN stays NaN."""
    nothing = x <= 0
    return jnp.where(nothing, 0, jnp.sqrt(jnp.where(nothing, 1, x)))


def dot(x: Array, y: Array, keepdims: bool = False) -> Array:
    """Inner product of the last axis."""
    both = x * y
    if both.shape[-1] > FEW:
        return both.sum(-1, keepdims=keepdims)
    total = sum(both[..., i] for i in range(1, both.shape[-1])) + both[..., 0]
    return total[..., None] if keepdims else total


def _series(coefficients: np.ndarray, above: Callable, below: Callable) -> Callable[[Array], Array]:
    """f(u): `above` of sqrt(u) for u > 0, `below` of sqrt(-u) for u < 0, a power series about 0."""

    def f(u: Array) -> Array:
        u = jnp.asarray(u)
        near, positive = jnp.abs(u) < SMALL, u > 0
        series = jnp.polyval(jnp.asarray(coefficients[::-1].copy(), u.dtype), jnp.where(near, u, 0))
        plus = above(jnp.sqrt(jnp.where(positive & ~near, u, 1)))
        minus = below(jnp.sqrt(jnp.where(positive | near, 1, -u)))
        return jnp.where(near, series, jnp.where(positive, plus, minus))

    return f


def _artanh(s: Array) -> Array:
    """artanh, with its argument kept below 1 by the spacing of its type."""
    return jnp.arctanh(jnp.minimum(s, 1 - jnp.finfo(s.dtype).epsneg))


_N = np.arange(TERMS)
_FACTORIAL = np.array([float(math.factorial(2 * n)) for n in range(TERMS)])
_ARCSIN = np.array([math.comb(2 * n, n) / 4**n / (2 * n + 1) for n in range(TERMS)])
_TAN = np.array([1, 1 / 3, 2 / 15, 17 / 315, 62 / 2835, 1382 / 155925, 21844 / 6081075, 929569 / 638512875])

cosc = _series((-1.0) ** _N / _FACTORIAL, jnp.cos, jnp.cosh)
"""cos(sqrt u), or cosh(sqrt -u)."""
sinc = _series((-1.0) ** _N / _FACTORIAL / (2 * _N + 1), lambda s: jnp.sin(s) / s, lambda s: jnp.sinh(s) / s)
"""sin(sqrt u) / sqrt u, or sinh(sqrt -u) / sqrt -u."""
tanc = _series(_TAN, lambda s: jnp.tan(s) / s, lambda s: jnp.tanh(s) / s)
"""tan(sqrt u) / sqrt u, or tanh(sqrt -u) / sqrt -u; poles at sqrt u = pi/2 + n pi."""
arsinc = _series(_ARCSIN, lambda s: jnp.arcsin(jnp.minimum(s, 1)) / s, lambda s: jnp.arcsinh(s) / s)
"""arcsin(sqrt u) / sqrt u, or arcsinh(sqrt -u) / sqrt -u."""
artanc = _series((-1.0) ** _N / (2 * _N + 1), lambda s: jnp.arctan(s) / s, lambda s: _artanh(s) / s)
"""arctan(sqrt u) / sqrt u, or artanh(sqrt -u) / sqrt -u."""


def arc(u: Array, cos: Array) -> Array:
    """atan2(sqrt u, cos) / sqrt u, an angle in [0, pi] over its sine; infinite at pi."""
    near = (u < SMALL) & (cos > 0)
    series = jnp.polyval(jnp.asarray(_ARCSIN[::-1].copy(), u.dtype), jnp.where(near, u, 0))
    s = jnp.sqrt(jnp.where(near, 1, u))
    return jnp.where(near, series, jnp.arctan2(s, jnp.where(near, 1, cos)) / s)


def log_sinhc(r: Array) -> Array:
    """log(sinh r / r) for r >= 0; neither overflows nor loses digits at 0."""
    r = jnp.asarray(r)
    large = r > 1
    far = jnp.where(large, r, 1)
    near = jnp.where(large, 0, r)
    return jnp.where(large, far + jnp.log1p(-jnp.exp(-2 * far)) - jnp.log(2 * far), jnp.log(sinc(-jnp.square(near))))


def symmetric(f: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The function f of symmetric matrices (..., n, n), whose derivative is right at equal eigenvalues too.

    Daleckii-Krein: df(A)[E] = V (L * (V' E V)) V', L_ij = (f_i - f_j) / (a_i - a_j), or f'(a_i) where they meet.
    """

    @jax.custom_jvp
    def apply(a: Array) -> Array:
        values, vectors = jnp.linalg.eigh(a)
        return (vectors * f(values)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)

    @apply.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (a,), (e,) = primals, tangents
        values, vectors = jnp.linalg.eigh(a)
        turned = jnp.swapaxes(vectors, -1, -2)
        gap = values[..., :, None] - values[..., None, :]
        middle = (values[..., :, None] + values[..., None, :]) / 2
        meet = jnp.abs(gap) <= 1e3 * jnp.finfo(a.dtype).eps * jnp.abs(middle)
        rise = f(values)[..., :, None] - f(values)[..., None, :]
        ratio = jnp.where(meet, slope(middle), rise / jnp.where(meet, 1, gap))
        symmetric_e = (e + jnp.swapaxes(e, -1, -2)) / 2
        change = vectors @ (ratio * (turned @ symmetric_e @ vectors)) @ turned
        return (vectors * f(values)[..., None, :]) @ turned, change

    return apply


def log_sinc(u: Array) -> Array:
    """log sinc(u): the log of sin_k(r) / r, by which the exponential map of curvature k widens, u = k r^2."""
    u = jnp.asarray(u)
    below = u < 0
    above = jnp.maximum(jnp.abs(sinc(jnp.where(below, 0, u))), jnp.finfo(u.dtype).eps)
    return jnp.where(below, log_sinhc(root(jnp.where(below, -u, 0))), jnp.log(above))
