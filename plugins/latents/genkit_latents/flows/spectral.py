"""Premetrics from the eigenfunctions of the Laplacian: for flow matching along other paths than geodesics."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit_latents.distributions import log_sphere
from genkit_latents.geometry.manifolds import FlatTorus, Sphere, check_positive

Array = jax.Array


@dataclass(frozen=True)
class Spectral:
    """d(x, y)^2 = sum_i w(lambda_i) (f_i(x) - f_i(y))^2 over eigenfunctions f_i of minus the Laplacian.

    Chen and Lipman 2024 (arXiv 2302.03660), section 3.2, for spheres S^d, d >= 2, and flat tori, where the sums over
    eigenspaces are Gegenbauer polynomials of the cosine, and waves. `biharmonic` is w = lambda^-2, `diffusion`
    w = exp(-2 time lambda).
    """

    kind: Literal["biharmonic", "diffusion"] = "biharmonic"
    """The weights."""
    time: float = 0.25
    """Of the diffusion, in units of length squared; where it is short the distance is the same for all far points."""
    degree: int = 10
    """Of the polynomials, or of the waves along each axis, at most: 120 eigenfunctions of S^2, 440 of a torus."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_positive("time", self.time)
        if self.degree < 1:
            raise UsageError(f"degree={self.degree}; expected at least 1")

    def half_square(self, manifold: Any, x: Array, y: Array) -> Array:
        """d^2 / 2 () of points (*shape)."""
        if isinstance(manifold, Sphere) and manifold.n >= 2:
            return self._sphere(manifold, x, y)
        if isinstance(manifold, FlatTorus):
            return self._torus(manifold, manifold.log(x, y))
        raise UsageError(
            f"eigenfunctions are known on spheres of dimension 2 and more and flat tori, not on {manifold}"
        )

    def _weights(self, values: Array) -> Array:
        return 1 / values**2 if self.kind == "biharmonic" else jnp.exp(-2 * self.time * values)

    def _sphere(self, sphere: Sphere, x: Array, y: Array) -> Array:
        """sum_l w_l (2l + d - 1) / (d - 1) (C_l(1) - C_l(cos)) / area; the gaps by their own recurrence.

        The difference of two sums would lose all digits where x is near y.
        """
        d, a = sphere.n, (sphere.n - 1) / 2
        h = 0.5 * jnp.square((x - y) / sphere.radius).sum()  # 1 - cos
        l = jnp.arange(1, self.degree + 1, dtype=x.dtype)
        weights = self._weights(l * (l + d - 1) / sphere.radius**2) * (2 * l + d - 1) / (d - 1)

        def add(carry: Any, at: Any) -> Any:
            total, before, now, top = carry  # C_l(1) - C_l(cos) at l - 1 and l, C_l(1)
            l, weight = at
            total = total + weight * now
            after = (2 * (l + a) * (h * top + (1 - h) * now) - (l + 2 * a - 1) * before) / (l + 1)
            return (total, now, after, top * (l + 2 * a) / (l + 1)), None

        start = (0 * h, 0 * h, 2 * a * h, jnp.full_like(h, 2 * a))
        (total, *_), _ = jax.lax.scan(add, start, (l, weights))
        return total / (math.exp(log_sphere(d + 1)) * sphere.radius**d)

    def _torus(self, torus: FlatTorus, gap: Array) -> Array:
        """sum_k w_k (1 - cos(2 pi k . gap / periods)) / volume."""
        waves = np.array(list(itertools.product(range(-self.degree, self.degree + 1), repeat=torus.dim)))
        waves = jnp.asarray(2 * np.pi * waves[waves.any(1)] / np.array(torus.periods), gap.dtype)
        weights = self._weights(jnp.square(waves).sum(1)) / math.prod(torus.periods)
        return 2 * weights @ jnp.square(jnp.sin(0.5 * waves @ gap))


def path(premetric: Any, manifold: Any, x0: Array, x1: Array, t: Array, steps: int) -> tuple[Array, Array]:
    """The point x_t and its velocity on the way from x1 at t = 1 to x0 at t = 0 on which d(x, x0) is t d(x1, x0).

    dx / dt = d grad d / (t |grad d|^2) (eq. 13), by `steps` of Euler's method along geodesics from 1 down to t. For the
    geodesic distance every step is exact.
    """

    def fall(x: Array) -> Array:  # d grad d / |grad d|^2 = 2 s grad s / |grad s|^2, s = d^2 / 2
        s, slope = jax.value_and_grad(lambda x: premetric.half_square(manifold, x, x0))(x)
        v = manifold.gradient(x, slope)
        square = manifold.inner(x, v, v)
        return 2 * s / jnp.where(square > 0, square, 1) * v  # none at the maximum of d

    h = (1 - t) / steps

    def move(x: Array, k: Array) -> tuple[Array, None]:
        return manifold.exp(x, -h / (1 - k * h) * fall(x)), None

    x, _ = jax.lax.scan(move, x1, jnp.arange(steps, dtype=x1.dtype))
    return x, fall(x) / t
