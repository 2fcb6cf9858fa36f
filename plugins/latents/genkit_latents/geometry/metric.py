"""A Riemannian metric in coordinates, and what follows from it by differentiation.

A metric is a pytree with a method `G(z (d,)) -> (d, d)`, symmetric and positive definite. Functions here take one
point; `jax.vmap` gives many. A metric that has more structure says so by one of the optional methods

    conformal(z) -> ()          G = m I
    diag(z) -> (d,)             G = diag(m)
    square(z, v) -> ()          v' G v, without the matrix
    chord(a, b) -> ()           squared length of the short piece from a to b, exact for embedded surfaces

and everything below uses the cheapest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import callable_tree
from genkit.errors import GenkitError
from genkit.tree import register_dataclass
from genkit_latents.safe import root

Array = jax.Array


class Metric(Protocol):
    """A field of inner products."""

    def G(self, z: Array) -> Array:
        """The matrix (d, d) at z (d,)."""
        ...


def as_tree(f: Any) -> Any:
    """A plain function as a pytree without leaves; pytrees, and the placeholders inside transformations, stay."""
    return callable_tree(f) if callable(f) else f


@register_dataclass
@dataclass(frozen=True)
class Full:
    """The metric whose matrix is `matrix(z)`; parameters of a pytree callable are leaves."""

    matrix: Callable[[Array], Array]

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "matrix", as_tree(self.matrix))

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return self.matrix(z)


@register_dataclass
@dataclass(frozen=True)
class Diagonal:
    """G = diag(entries(z)), entries (d,) positive."""

    entries: Callable[[Array], Array]

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "entries", as_tree(self.entries))

    def diag(self, z: Array) -> Array:
        """The diagonal (d,)."""
        return self.entries(z)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return jnp.diag(self.diag(z))


@register_dataclass
@dataclass(frozen=True)
class Conformal:
    """G = factor(z) I, factor () positive."""

    factor: Callable[[Array], Array]

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "factor", as_tree(self.factor))

    def conformal(self, z: Array) -> Array:
        """The factor ()."""
        return self.factor(z)

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        return self.conformal(z) * jnp.eye(z.shape[-1], dtype=z.dtype)


@register_dataclass
@dataclass(frozen=True)
class Reparametrised:
    """The metric in other coordinates w, z = chart(w): G_w = J' G_z J. Lengths do not change."""

    metric: Metric
    chart: Callable[[Array], Array] = field(metadata={"static": True})

    def G(self, w: Array) -> Array:
        """The matrix (d, d) in the coordinates w."""
        j = jax.jacfwd(self.chart)(w)
        return j.T @ self.metric.G(self.chart(w)) @ j


def square(metric: Any, z: Array, v: Array) -> Array:
    """|v|^2 at z."""
    if hasattr(metric, "square"):
        return metric.square(z, v)
    if hasattr(metric, "conformal"):
        return metric.conformal(z) * (v @ v)
    if hasattr(metric, "diag"):
        return (metric.diag(z) * v) @ v
    return v @ metric.G(z) @ v


def inner(metric: Metric, z: Array, u: Array, v: Array) -> Array:
    """<u, v> at z."""
    return u @ metric.G(z) @ v


def norm(metric: Metric, z: Array, v: Array) -> Array:
    """|v| at z."""
    return root(square(metric, z, v))


def log_volume(metric: Any, z: Array) -> Array:
    """log sqrt(det G), the log of the magnification factor."""
    if hasattr(metric, "conformal"):
        return 0.5 * z.shape[-1] * jnp.log(metric.conformal(z))
    if hasattr(metric, "diag"):
        return 0.5 * jnp.log(metric.diag(z)).sum()
    return 0.5 * jnp.linalg.slogdet(metric.G(z))[1]


def condition(metric: Metric, z: Array) -> Array:
    """Largest over smallest eigenvalue of G; large where directions are nearly dead, infinite where G is singular."""
    values = jnp.linalg.eigvalsh(metric.G(z))
    return jnp.where(values[0] > 0, values[-1] / jnp.where(values[0] > 0, values[0], 1), jnp.inf)


def sharp(metric: Any, z: Array, w: Array) -> Array:
    """G^-1 w, the vector of a gradient w."""
    if hasattr(metric, "conformal"):
        return w / metric.conformal(z)
    if hasattr(metric, "diag"):
        return w / metric.diag(z)
    return jnp.linalg.solve(metric.G(z), w)


def christoffel(metric: Metric, z: Array) -> Array:
    """Christoffel symbols of the second kind, (d, d, d) as [i, j, k] = Gamma^i_jk."""
    d = jax.jacfwd(metric.G)(z)  # [l, j, k] is the derivative of G_lj along k
    first = 0.5 * (d + jnp.swapaxes(d, 1, 2) - jnp.moveaxis(d, 2, 0))
    return jnp.einsum("il,ljk->ijk", jnp.linalg.inv(metric.G(z)), first)


def acceleration(metric: Any, z: Array, v: Array) -> Array:
    """The geodesic equation z'' = -Gamma(z', z'), without Gamma.

    G z'' = grad_z (v' G v) / 2 - (dG/dt) v: one reverse and one forward derivative. A conformal metric needs only the
    gradient of log m: z'' = |v|^2 grad log m / 2 - (grad log m . v) v.
    """
    if hasattr(metric, "conformal"):
        slope = jax.grad(lambda z: jnp.log(metric.conformal(z)))(z)
        return 0.5 * (v @ v) * slope - (slope @ v) * v
    force = 0.5 * jax.grad(lambda z: square(metric, z, v))(z)

    def momentum(z: Array) -> Array:
        return metric.diag(z) * v if hasattr(metric, "diag") else metric.G(z) @ v

    return sharp(metric, z, force - jax.jvp(momentum, (z,), (v,))[1])


def riemann(metric: Metric, z: Array) -> Array:
    """Curvature tensor R^i_jkl = d_k Gamma^i_lj - d_l Gamma^i_kj + Gamma^i_km Gamma^m_lj - Gamma^i_lm Gamma^m_kj."""
    gamma, slope = christoffel(metric, z), jax.jacfwd(lambda z: christoffel(metric, z))(z)
    part = jnp.einsum("iljk->ijkl", slope) + jnp.einsum("ikm,mlj->ijkl", gamma, gamma)
    return part - jnp.swapaxes(part, 2, 3)


def ricci(metric: Metric, z: Array) -> Array:
    """Ricci tensor R_jl = R^i_jil, (d, d)."""
    return jnp.einsum("ijil->jl", riemann(metric, z))


def scalar_curvature(metric: Metric, z: Array) -> Array:
    """G^jl R_jl; in two dimensions twice the Gaussian curvature."""
    return jnp.trace(jnp.linalg.solve(metric.G(z), ricci(metric, z)))


def sectional_curvature(metric: Metric, z: Array, u: Array, v: Array) -> Array:
    """Curvature of the plane of u and v: <R(u, v) v, u> / (|u|^2 |v|^2 - <u, v>^2)."""
    g = metric.G(z)
    top = jnp.einsum("im,ijkl,m,j,k,l->", g, riemann(metric, z), u, v, u, v)
    return top / ((u @ g @ u) * (v @ g @ v) - (u @ g @ v) ** 2)


def gaussian_curvature(metric: Any, z: Array) -> Array:
    """Curvature of a surface, d = 2; -Laplacian(log m) / 2m where it is conformal."""
    if hasattr(metric, "conformal"):
        hessian = jax.hessian(lambda z: jnp.log(metric.conformal(z)))(z)
        return -0.5 * jnp.trace(hessian) / metric.conformal(z)
    return 0.5 * scalar_curvature(metric, z)


def laplace_beltrami(metric: Metric, f: Callable[[Array], Array], z: Array) -> Array:
    """Laplacian of f at z: |G|^-1/2 d_i(|G|^1/2 G^ij d_j f)."""

    def flux(z: Array) -> Array:
        return jnp.exp(log_volume(metric, z)) * sharp(metric, z, jax.grad(f)(z))

    return jnp.trace(jax.jacfwd(flux)(z)) * jnp.exp(-log_volume(metric, z))


def brownian_drift(metric: Metric, z: Array) -> Array:
    """Drift of Brownian motion (generator Laplacian / 2) in coordinates: |G|^-1/2 d_j(|G|^1/2 G^ij) / 2."""

    def flux(z: Array) -> Array:
        return jnp.exp(log_volume(metric, z)) * jnp.linalg.inv(metric.G(z))

    return 0.5 * jnp.einsum("ijj->i", jax.jacfwd(flux)(z)) * jnp.exp(-log_volume(metric, z))


def check_metric(metric: Metric, points: Any) -> None:
    """Raise `GenkitError` unless G is finite, symmetric and positive definite at all points (n, d)."""
    points = jnp.asarray(points)
    g = np.asarray(jax.vmap(metric.G)(points), np.float64)
    d = points.shape[-1]
    if g.shape[1:] != (d, d):
        raise GenkitError(f"the metric has shape {g.shape[1:]} at points of {d} coordinates; expected ({d}, {d})")
    for i, (matrix, z) in enumerate(zip(g, np.asarray(points), strict=True)):
        where = f"at point {i}, {np.array2string(z, precision=4)}"
        if not np.isfinite(matrix).all():
            raise GenkitError(f"the metric is not finite {where}; is the point inside the chart?")
        scale = np.abs(matrix).max()
        if not np.allclose(matrix, matrix.T, atol=1e-5 * scale):
            raise GenkitError(f"the metric is not symmetric {where}; give (G + G') / 2")
        if (least := np.linalg.eigvalsh(matrix)[0]) <= 0:
            raise GenkitError(
                f"the metric is not positive definite {where} (eigenvalue {least:.3g}); add a small multiple of I"
            )
