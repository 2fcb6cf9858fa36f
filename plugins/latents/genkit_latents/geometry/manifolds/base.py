"""What all manifolds with closed forms share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError

Array = jax.Array
WRAPS = 3  # turns around a closed space that count: a deviation of half the circumference leaves out 1e-10


class Manifold:
    """A Riemannian manifold whose exponential map, logarithm, distance and transport have closed forms.

    Subclasses are frozen dataclasses registered as pytrees: curvatures and radii are leaves, so they can be learned.
    Points are arrays (..., *shape); methods broadcast over leading axes, except `frame` and what it makes. A manifold
    in coordinates (its points are not embedded) has `G(z)` too, and is a metric for all of `genkit_latents.geometry`.
    """

    hadamard: ClassVar[bool] = False
    """Simply connected and nowhere positively curved: one geodesic joins any two points, and means are unique."""
    exact: ClassVar[bool] = True
    """Logarithms are right to rounding, as closed forms are; those of a solver are not."""

    @property
    def dim(self) -> int:
        """Dimension."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dim,)

    @property
    def origin(self) -> Array:
        """A distinguished point."""
        raise NotImplementedError

    def exp(self, x: Array, v: Array) -> Array:
        """Where the geodesic from x with velocity v is at time 1."""
        raise NotImplementedError

    def log(self, x: Array, y: Array) -> Array:
        """The tangent vector at x of the shortest geodesic to y; its norm is the distance."""
        raise NotImplementedError

    def dist(self, x: Array, y: Array) -> Array:
        """Geodesic distance (...)."""
        raise NotImplementedError

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """Inner product (...) of tangent vectors at x."""
        raise NotImplementedError

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """Parallel transport of v from x to y along the shortest geodesic."""
        raise NotImplementedError

    def frame(self, x: Array) -> Array:
        """Orthonormal tangent vectors at x (*shape), as (dim, *shape)."""
        raise NotImplementedError

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """log |det d exp_x| at v, between orthonormal frames: volume in the manifold over that in the tangent space."""
        raise NotImplementedError

    def preimages(self, x: Array, v: Array) -> tuple[Array, Array]:
        """Vectors (k, *shape) at x (*shape) that exp takes to one point, v the shortest, and which count, bool (k,)."""
        return v[None], jnp.ones(1, bool)

    def inside(self, x: Array) -> Array:
        """Whether x is a point, bool (...)."""
        raise NotImplementedError

    def clamped(self, x: Array) -> Array:
        """Whether `exp` put x, bool (...), where the precision of its type ends, short of where it belongs."""
        return jnp.zeros(x.shape[: x.ndim - len(self.shape)], bool)

    def project(self, x: Array) -> Array:
        """The point nearest to, or made from, an array of the shape of a point."""
        return x

    def tangent(self, x: Array, v: Array) -> Array:
        """The part of an ambient vector that is tangent at x."""
        return v

    def gradient(self, x: Array, g: Array) -> Array:
        """The Riemannian gradient from the Euclidean one."""
        raise NotImplementedError

    def unique(self, x: Array, y: Array) -> Array:
        """Whether one shortest geodesic joins x and y, bool (...), where one is found: False at antipodal points."""
        batch = jnp.broadcast_shapes(x.shape, y.shape)
        return jnp.ones(batch[: len(batch) - len(self.shape)], bool)

    # what follows

    def norm(self, x: Array, v: Array) -> Array:
        """Length (...) of a tangent vector."""
        return jnp.sqrt(jnp.maximum(self.inner(x, v, v), 0))

    def geodesic(self, x: Array, y: Array, t: Array | float) -> Array:
        """The point at time t () of the geodesic from x (time 0) to y (time 1); points (n, ...) at times (n,)."""
        v = self.log(x, y)
        return jax.vmap(lambda t: self.exp(x, t * v))(t) if jnp.ndim(t) else self.exp(x, t * v)

    def vector(self, x: Array, a: Array) -> Array:
        """The tangent vector (*shape) at x (*shape) with components a (dim,) in the frame."""
        return jnp.tensordot(a, self.frame(x), 1)

    def components(self, x: Array, v: Array) -> Array:
        """Components (dim,) of a tangent vector (*shape) at x (*shape) in the frame."""
        return jax.vmap(lambda e: self.inner(x, e, v))(self.frame(x))

    def normal(self, key: Array, x: Array) -> Array:
        """A standard normal tangent vector at x (*shape)."""
        return self.vector(x, jax.random.normal(key, (self.dim,), x.dtype))

    def check(self, x: Any, what: str = "points") -> Array:
        """The array, or `GenkitError` where an entry is not finite or not on the manifold."""
        x = jnp.asarray(x)
        if x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise GenkitError(f"{what} have shape {x.shape}; points of {self} have shape (..., {self.shape})")
        for wrong, is_wrong in (("finite", ~jnp.isfinite(x).all(self._axes)), ("on the manifold", ~self.inside(x))):
            rows = np.argwhere(np.atleast_1d(np.asarray(is_wrong)))
            if len(rows):
                place = tuple(int(i) for i in rows[0]) if x.ndim > len(self.shape) else ()
                at = f"{what}[{', '.join(map(str, place))}]" if place else what
                first = np.array2string(np.asarray(x[place]), precision=5)
                raise GenkitError(f"{at} = {first} is not {wrong} ({self}); project or leave it out")
        return x

    def _around(self, x: Array, v: Array, period: Array | float) -> Array:
        """v, and v lengthened by multiples of the period of a closed geodesic, (2 WRAPS + 1, *shape)."""
        r = self.norm(x, v)
        unit = jnp.where(r > 0, v / jnp.where(r > 0, r, 1), self.frame(x)[0])
        return (r + period * jnp.arange(-WRAPS, WRAPS + 1, dtype=x.dtype))[:, None] * unit

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.shape), 0))

    @property
    def size(self) -> int:
        """Numbers of a point."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Sized(Manifold):
    """A manifold that comes in sizes; `dim` is n where a subclass does not say otherwise."""

    n: int = field(default=2, metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the size."""
        if self.n < 1:
            raise UsageError(f"n={self.n} is too few; expected at least 1")

    @property
    def dim(self) -> int:
        """Dimension n."""
        return self.n


@dataclass(frozen=True)
class Hypersurface(Sized):
    """A manifold of dimension n whose points are in R^(n + 1)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n + 1,)."""
        return (self.n + 1,)


def check_positive(name: str, value: Any) -> None:
    """Refuse a number that is not positive; what is traced or a placeholder of a pytree passes."""
    if isinstance(value, (int, float)) and not value > 0:
        raise UsageError(f"{name}={value} must be positive")
