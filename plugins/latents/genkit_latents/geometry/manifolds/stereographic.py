"""Stereographic coordinates of spaces of constant curvature of any sign; the Poincare ball is the negative case."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import WRAPS, Sized, check_positive

Array = jax.Array
BORDER = {jnp.dtype("float32"): 4e-3, jnp.dtype("float64"): 1e-5}  # relative distance kept from the border of a ball


class ConstantCurvature(Sized):
    """G = lambda(z)^2 I with lambda = 2 / (1 + kappa |z|^2): a ball (kappa < 0), the plane at scale 2, or a sphere.

    Everything is analytic in kappa (Skopek et al. 2020, arXiv 1911.08411; Bachmann et al. 2020, arXiv 1911.05076).
    For kappa < 0 results of `exp` are kept inside the ball of relative radius 1 - eps, eps = 4e-3 in float32 and 1e-5
    in float64, that is at a distance of at most 6.2 or 12.2 / sqrt(-kappa) from the origin. Beyond the border there are
    no points: distances and logarithms are NaN.
    """

    kappa: Array | float

    @property
    def origin(self) -> Array:
        """Zero."""
        return jnp.zeros(self.n)

    def _scale(self, z: Array, keepdims: bool = False) -> Array:
        """lambda (...)."""
        return 2 / self._height(z, keepdims)

    def _height(self, z: Array, keepdims: bool = False) -> Array:
        """1 + kappa |z|^2, not less than rounding leaves of it."""
        height = 1 + self.kappa * jnp.square(z).sum(-1, keepdims=keepdims)
        return jnp.maximum(height, jnp.finfo(z.dtype).eps)

    def conformal(self, z: Array) -> Array:
        """lambda^2."""
        return jnp.square(self._scale(z))

    def G(self, z: Array) -> Array:
        """lambda^2 I."""
        return self.conformal(z)[..., None, None] * jnp.eye(self.n, dtype=z.dtype)

    def add(self, x: Array, y: Array) -> Array:
        """Mobius addition; in a ball nothing cancels but 1 + kappa |x|^2, known to some 1e-5 at its border."""
        k, xy = self.kappa, safe.dot(x, y, True)
        xx, yy, square = (jnp.square(a).sum(-1, keepdims=True) for a in (x, y, x + y))
        hx, ball = 1 + k * xx, jnp.asarray(k < 0)
        of_x = jnp.where(ball, hx - k * square, 1 - 2 * k * xy - k * yy)
        below = jnp.where(ball, hx * (1 + k * yy) - k * square, 1 - 2 * k * xy + k**2 * xx * yy)
        return (of_x * x + hx * y) / jnp.maximum(below, jnp.finfo(x.dtype).tiny)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """lambda^2 u . v."""
        return self.conformal(x) * safe.dot(u, v)

    def exp(self, x: Array, v: Array) -> Array:
        """x + tan_k(lambda |v| / 2) v / |v|, with Mobius addition."""
        half = self._scale(x, True) / 2
        u = self.kappa * jnp.square(half) * jnp.square(v).sum(-1, keepdims=True)
        return self.project(self.add(x, half * safe.tanc(u) * v))

    def log(self, x: Array, y: Array) -> Array:
        """2 / lambda artan_k(|m|) m / |m|, m = -x + y by Mobius addition, written so that nothing cancels.

        In a ball artan_k(|m|) is arsin_k of what `dist` takes: |m| is nearly 1 / sqrt(-k) for far points.
        """
        k, hx, hy = self.kappa, self._height(x, True), self._height(y, True)
        square = jnp.square(x - y).sum(-1, keepdims=True)
        m = (hx * (y - x) + k * square * x) / jnp.maximum(hx * hy - k * square, jnp.finfo(x.dtype).tiny)
        s2 = jnp.where(k < 0, square / (hx * hy), 0)
        below = safe.arsinc(k * s2) * jnp.sqrt(1 - k * s2)
        above = safe.artanc(jnp.where(k < 0, 0, k * jnp.square(m).sum(-1, keepdims=True)))
        return self._within(x, y)[..., None] * hx * jnp.where(k < 0, below, above) * m

    def _within(self, x: Array, y: Array) -> Array:
        """1, or NaN where a point is no point."""
        return jnp.where(self.inside(x) & self.inside(y), 1, jnp.nan).astype(x.dtype)

    def dist(self, x: Array, y: Array) -> Array:
        """2 arsin_k(|x - y| / sqrt((1 + k |x|^2) (1 + k |y|^2))): no cancellation for near points, none at k = 0."""
        s2 = jnp.square(x - y).sum(-1) / (self._height(x) * self._height(y))
        return self._within(x, y) * 2 * safe.root(s2) * safe.arsinc(self.kappa * s2)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """gyr[y, -x] v lambda_x / lambda_y (Ungar's gyration in closed form)."""
        k, a, b = self.kappa, y, -x
        aa, bb = jnp.square(a).sum(-1, keepdims=True), jnp.square(b).sum(-1, keepdims=True)
        ab, av, bv = safe.dot(a, b, True), safe.dot(a, v, True), safe.dot(b, v, True)
        by_a = -(k**2) * av * bb - k * bv + 2 * k**2 * ab * bv
        by_b = -(k**2) * bv * aa + k * av
        below = 1 - 2 * k * ab + k**2 * aa * bb
        turned = v + 2 * (by_a * a + by_b * b) / jnp.maximum(below, jnp.finfo(x.dtype).tiny)
        return turned * self._scale(x, True) / self._scale(y, True)

    def frame(self, x: Array) -> Array:
        """Unit vectors divided by lambda."""
        return jnp.eye(self.n, dtype=x.dtype) / self._scale(x)

    def gradient(self, x: Array, g: Array) -> Array:
        """g / lambda^2."""
        return g / jnp.square(self._scale(x, True))

    def project(self, x: Array) -> Array:
        """x, drawn inside the ball where kappa < 0."""
        below, most = self._most(x)
        length = safe.norm(x, True)
        outside = below & (length > most)
        return jnp.where(outside, most * x / jnp.where(outside, length, 1), x)

    def _most(self, x: Array) -> tuple[Array, Array]:
        """Whether there is a border, and the largest |x| that is kept from it."""
        if jnp.dtype(x.dtype) not in BORDER:
            raise UsageError(f"{x.dtype} has no digits for a ball or sphere in coordinates; use float32 or float64")
        below = jnp.asarray(self.kappa, x.dtype) < 0
        return below, (1 - BORDER[jnp.dtype(x.dtype)]) / jnp.sqrt(jnp.where(below, -self.kappa, 1))

    def clamped(self, x: Array) -> Array:
        """At the border, where kappa < 0."""
        below, most = self._most(x)
        return below & (safe.norm(x) >= most * (1 - 4 * jnp.finfo(x.dtype).eps))

    def inside(self, x: Array) -> Array:
        """1 + kappa |x|^2 > 0."""
        return 1 + self.kappa * jnp.square(x).sum(-1) > 0

    def unique(self, x: Array, y: Array) -> Array:
        """False at antipodal points of a sphere, x = -y / (kappa |y|^2)."""
        most = self.kappa * jnp.square(self.dist(x, y))
        return most < jnp.square(jnp.pi) * (1 - 1e3 * jnp.finfo(x.dtype).eps)

    def preimages(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Once around a sphere, and more; the vector alone where kappa is not positive."""
        k = jnp.asarray(self.kappa, x.dtype)
        turns = jnp.arange(-WRAPS, WRAPS + 1)
        return self._around(x, v, 2 * jnp.pi / jnp.sqrt(jnp.where(k > 0, k, 1))), (turns == 0) | (k > 0)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """(n - 1) log(sin_k(r) / r), r the length of v."""
        return (self.n - 1) * safe.log_sinc(self.kappa * self.inner(x, v, v))


@register_dataclass
@dataclass(frozen=True)
class Stereographic(ConstantCurvature):
    """Constant curvature kappa of either sign, which may be learned through zero; at 0 distances are 2 |x - y|."""

    kappa: Array | float = 0.0


@register_dataclass
@dataclass(frozen=True)
class PoincareBall(ConstantCurvature):
    """The ball |z| < 1 / sqrt(c) of curvature -c (Ganea et al. 2018, arXiv 1805.09112)."""

    hadamard = True

    c: Array | float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        check_positive("c", self.c)

    @property
    def kappa(self) -> Array | float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Curvature."""
        return -self.c
