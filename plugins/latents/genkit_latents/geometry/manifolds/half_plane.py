"""The upper half-space, and the Fisher-Rao geometry of Gaussians, which is made of half-planes."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents import safe
from genkit_latents.geometry.manifolds.base import Sized
from genkit_latents.geometry.manifolds.lorentz import Lorentz

Array = jax.Array
SQRT2 = 2**0.5


@register_dataclass
@dataclass(frozen=True)
class HalfPlane(Sized):
    """Points (x_1..x_(n-1), y), y > 0, with G = I / y^2: curvature -1."""

    kappa = -1.0
    hadamard = True

    @property
    def origin(self) -> Array:
        """(0, 1)."""
        return jnp.zeros(self.n).at[-1].set(1)

    def conformal(self, z: Array) -> Array:
        """1 / y^2."""
        return 1 / jnp.square(z[..., -1])

    def G(self, z: Array) -> Array:
        """I / y^2."""
        return self.conformal(z)[..., None, None] * jnp.eye(self.n, dtype=z.dtype)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """u . v / y^2."""
        return safe.dot(u, v) * self.conformal(x)

    def exp(self, x: Array, v: Array) -> Array:
        """Moved to (0, 1), where y = 1 / (cosh r - b sinh r) and x = a sinh r y for the direction (a, b)."""
        y, w = x[..., -1:], v / x[..., -1:]
        r, up = safe.norm(w, True), w[..., -1:]
        side = jnp.square(w[..., :-1]).sum(-1, keepdims=True)
        rising = up > 0
        gap = jnp.where(rising, side / jnp.where(rising, r + up, 1), r - up)  # r - up without cancellation
        s = safe.sinc(-jnp.square(w).sum(-1, keepdims=True))
        height = 1 / (jnp.exp(-r) + s * gap)
        return jnp.concatenate([x[..., :-1] + y * height * s * w[..., :-1], y * height], -1)

    def log(self, x: Array, y: Array) -> Array:
        """The inverse: (p / h, (p^2 + h^2 - 1) / 2h) has length sinh r, with y moved to (p, h)."""
        scale = x[..., -1:]
        p, h = (y[..., :-1] - x[..., :-1]) / scale, y[..., -1:] / scale
        w = jnp.concatenate([p / h, (jnp.square(p).sum(-1, keepdims=True) + (h - 1) * (h + 1)) / (2 * h)], -1)
        return scale * safe.arsinc(-jnp.square(w).sum(-1, keepdims=True)) * w

    def dist(self, x: Array, y: Array) -> Array:
        """2 arsinh(|x - y| / (2 sqrt(y_x y_y))); NaN below the border."""
        s2 = jnp.square(x - y).sum(-1) / (4 * x[..., -1] * y[..., -1])
        s2 = jnp.where((x[..., -1] > 0) & (y[..., -1] > 0), s2, jnp.nan)
        return 2 * safe.root(s2) * safe.arsinc(-s2)

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """By the isometry to the hyperboloid."""
        x, y, v = jnp.broadcast_arrays(x, y, v)
        hyperboloid = Lorentz(self.n)
        start, pushed = jax.jvp(self.to_lorentz, (x,), (v,))
        end = self.to_lorentz(y)
        return jax.jvp(self.from_lorentz, (end,), (hyperboloid.transport(start, end, pushed),))[1]

    @staticmethod
    def to_lorentz(z: Array) -> Array:
        """An isometry to `Lorentz(n)`."""
        y, zz = z[..., -1:], jnp.square(z).sum(-1, keepdims=True)
        return jnp.concatenate([(zz + 1) / (2 * y), z[..., :-1] / y, (zz - 1) / (2 * y)], -1)

    @staticmethod
    def from_lorentz(x: Array) -> Array:
        """Its inverse."""
        y = 1 / (x[..., :1] - x[..., -1:])
        return jnp.concatenate([x[..., 1:-1] * y, y], -1)

    def frame(self, x: Array) -> Array:
        """Unit vectors times y."""
        return jnp.eye(self.n, dtype=x.dtype) * x[-1]

    def gradient(self, x: Array, g: Array) -> Array:
        """g y^2."""
        return g * jnp.square(x[..., -1:])

    def inside(self, x: Array) -> Array:
        """y > 0."""
        return x[..., -1] > 0

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """(n - 1) log(sinh(r) / r)."""
        return (self.n - 1) * safe.log_sinc(-self.inner(x, v, v))


@register_dataclass
@dataclass(frozen=True)
class GaussianFisherRao(Sized):
    """Gaussians of n independent coordinates as points (means (n,), standard deviations (n,)) of the Fisher metric.

    ds^2 = sum (dm^2 + 2 ds^2) / s^2: with m / sqrt 2 in place of m each coordinate is sqrt 2 times a half-plane, of
    curvature -1/2.
    """

    hadamard = True

    n: int = field(default=1, metadata={"static": True})

    @property
    def dim(self) -> int:
        """2 n."""
        return 2 * self.n

    @property
    def origin(self) -> Array:
        """Standard normals."""
        return jnp.concatenate([jnp.zeros(self.n), jnp.ones(self.n)])

    def _pairs(self, a: Array) -> Array:
        """(..., 2n) to points or vectors of half-planes (..., n, 2)."""
        return jnp.stack([a[..., : self.n] / SQRT2, a[..., self.n :]], -1)

    @staticmethod
    def _flat(a: Array) -> Array:
        return jnp.concatenate([SQRT2 * a[..., 0], a[..., 1]], -1)

    def diag(self, z: Array) -> Array:
        """1 / s^2 and 2 / s^2."""
        weight = 1 / jnp.square(z[..., self.n :])
        return jnp.concatenate([weight, 2 * weight], -1)

    def G(self, z: Array) -> Array:
        """diag(1 / s^2, 2 / s^2)."""
        return self.diag(z)[..., None] * jnp.eye(self.dim, dtype=z.dtype)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """sum of diag u v."""
        return (self.diag(x) * u * v).sum(-1)

    def exp(self, x: Array, v: Array) -> Array:
        """Coordinate by coordinate."""
        return self._flat(HalfPlane().exp(self._pairs(x), self._pairs(v)))

    def log(self, x: Array, y: Array) -> Array:
        """Coordinate by coordinate."""
        return self._flat(HalfPlane().log(self._pairs(x), self._pairs(y)))

    def dist(self, x: Array, y: Array) -> Array:
        """Root of the sum of squares over the coordinates."""
        return SQRT2 * safe.norm(HalfPlane().dist(self._pairs(x), self._pairs(y)))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Coordinate by coordinate."""
        return self._flat(HalfPlane().transport(self._pairs(x), self._pairs(y), self._pairs(v)))

    def frame(self, x: Array) -> Array:
        """Unit vectors divided by the root of the diagonal."""
        return jnp.diag(1 / jnp.sqrt(self.diag(x)))

    def gradient(self, x: Array, g: Array) -> Array:
        """g divided by the diagonal."""
        return g / self.diag(x)

    def inside(self, x: Array) -> Array:
        """Standard deviations > 0."""
        return (x[..., self.n :] > 0).all(-1)

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """Sum over the coordinates."""
        return HalfPlane().log_jacobian(self._pairs(x), self._pairs(v)).sum(-1)
