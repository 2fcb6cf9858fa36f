"""A ball that is not round: hyperbolic geometry with preferred directions."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_latents.geometry.manifolds.base import Manifold
from genkit_latents.geometry.manifolds.stereographic import PoincareBall

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class PoincareEllipsis(Manifold):
    """The ellipsoid z' Q z < 1 with G(z) = lambda^2 Q, lambda = 2 / (1 - z' Q z), Q = A' A learnable.

    w = A z is an isometry to the Poincare ball, so everything has a closed form. This is our construction after the
    topic of Fadel, Paulsen and Brefeld (MLG workshop 2023), whose text we did not have.
    """

    hadamard = True

    a: Array
    """(n, n), of full rank; Q = A' A"""

    def __post_init__(self) -> None:
        """Refuse a matrix of lower rank; what is traced, trained or a placeholder of a pytree passes."""
        if not isinstance(self.a, np.ndarray):
            return
        if self.a.ndim != 2 or self.a.shape[0] != self.a.shape[1] or np.linalg.matrix_rank(self.a) < len(self.a):
            raise UsageError(f"a of shape {self.a.shape} must be square and of full rank, so that Q = A' A is definite")

    @property
    def dim(self) -> int:
        """Dimension n."""
        return self.a.shape[-1]

    @property
    def ball(self) -> PoincareBall:
        """The ball to which A maps."""
        return PoincareBall(self.dim)

    @property
    def origin(self) -> Array:
        """Zero."""
        return jnp.zeros(self.dim)

    def _to(self, z: Array) -> Array:
        return z @ self.a.T

    def _from(self, w: Array) -> Array:
        return w @ jnp.linalg.inv(self.a).T

    def G(self, z: Array) -> Array:
        """lambda^2 Q."""
        return self.ball.conformal(self._to(z))[..., None, None] * (self.a.T @ self.a)

    def inner(self, x: Array, u: Array, v: Array) -> Array:
        """That of the ball."""
        return self.ball.inner(self._to(x), self._to(u), self._to(v))

    def exp(self, x: Array, v: Array) -> Array:
        """That of the ball."""
        return self._from(self.ball.exp(self._to(x), self._to(v)))

    def log(self, x: Array, y: Array) -> Array:
        """That of the ball."""
        return self._from(self.ball.log(self._to(x), self._to(y)))

    def dist(self, x: Array, y: Array) -> Array:
        """That of the ball."""
        return self.ball.dist(self._to(x), self._to(y))

    def transport(self, x: Array, y: Array, v: Array) -> Array:
        """That of the ball."""
        return self._from(self.ball.transport(self._to(x), self._to(y), self._to(v)))

    def frame(self, x: Array) -> Array:
        """That of the ball."""
        return self._from(self.ball.frame(self._to(x)))

    def gradient(self, x: Array, g: Array) -> Array:
        """G^-1 g."""
        inverse = jnp.linalg.inv(self.a)
        return self._from(self.ball.gradient(self._to(x), g @ inverse))

    def project(self, x: Array) -> Array:
        """x, drawn inside the ellipsoid."""
        return self._from(self.ball.project(self._to(x)))

    def inside(self, x: Array) -> Array:
        """z' Q z < 1."""
        return self.ball.inside(self._to(x))

    def log_jacobian(self, x: Array, v: Array) -> Array:
        """That of the ball."""
        return self.ball.log_jacobian(self._to(x), self._to(v))
