"""What every solver returns."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError
from genkit_latents.geometry.paths import pieces, straight
from genkit_latents.safe import root

Array = jax.Array
FINER = 512  # places, at least, at which a curve is measured again: what is thinner than such a part is not seen
FAST = 2.0  # times the mean speed that no place of a geodesic may reach: exact ones have constant speed


class Geodesic(NamedTuple):
    """A curve between two points, and whether it is a geodesic."""

    curve: Array
    """(N + 1, d), from p to q"""
    length: Array
    """() of the curve; solvers of the equation and splines know it better than the polygon `curve` does"""
    energy: Array
    """() half the integral of the squared speed over unit time; length^2 <= 2 energy, equal at constant speed"""
    converged: Array
    """() bool: the residual is below the tolerance, all is finite, the speed is even, and a finer measure of
    the length agrees; what is thinner than 1 / 512 of the curve may go unseen"""
    iterations: Array
    """() int"""
    residual: Array
    """() what the solver drives to zero, without units; each solver says what it is"""
    error: Array | None = None
    """() relative error of the length, where it was estimated (`Refined`)"""


class Solver(Protocol):
    """A way to find geodesics; a frozen dataclass, static under `jit`."""

    def __call__(self, metric: Any, p: Array, q: Array, init: Array | None = None) -> Geodesic:
        """From p (d,) to q (d,), starting from the curve `init` (n + 1, d), or the straight line."""
        ...


def finish(
    metric: Any, curve: Array, iterations: Array, residual: Array, tolerance: Any, even: float, length: Any = None
) -> Geodesic:
    """Measure a curve, and judge it: the longest and the shortest piece may differ by the part `even`.

    The length is measured again at `FINER` places, since a solver that saw the metric only between the corners walks
    through a thin wall: it may then differ by a quarter of `even`, and nowhere be run through at `FAST` (1 + even)
    times the mean speed. `length` is for solvers that know it better than the polygon.
    """
    squares = pieces(metric, curve)
    lengths = root(squares)
    finite = jnp.isfinite(curve).all() & jnp.isfinite(lengths).all()
    # between ends that almost coincide, pieces are uneven by round-off of the coordinates
    steps = jnp.linalg.norm(jnp.diff(curve, axis=0), axis=1)
    stretch = (lengths / jnp.where(steps > 0, steps, jnp.inf)).max()
    slack = 8 * jnp.finfo(curve.dtype).eps * jnp.abs(curve).max() * stretch
    steady = lengths.max() <= (1 + even) * lengths.min() + slack
    energy = 0.5 * squares.shape[0] * squares.sum() if length is None else 0.5 * jnp.square(length)
    length = lengths.sum() if length is None else length
    parts = -(-FINER // squares.shape[0])
    share = jnp.arange(parts, dtype=curve.dtype)[None, :, None] / parts
    finer = (curve[:-1, None] + share * jnp.diff(curve, axis=0)[:, None]).reshape(-1, curve.shape[1])
    again = root(pieces(metric, jnp.concatenate([finer, curve[-1:]])))
    same = jnp.abs(again.sum() - length) <= even / 4 * length + len(again) * slack
    same &= again.max() <= FAST * (1 + even) * length / len(again) + slack
    converged = finite & jnp.isfinite(length) & steady & same & (residual <= tolerance)
    return Geodesic(curve, length, energy, converged, jnp.asarray(iterations), residual)


def begin(p: Array, q: Array, segments: int, init: Array | None) -> Array:
    """The first curve (segments + 1, d): straight, or `init` with another number of points, its ends put to p and q."""
    if init is None:
        return straight(p, q, segments)
    new, old = jnp.linspace(0, 1, segments + 1), jnp.linspace(0, 1, init.shape[0])
    curve = jax.vmap(lambda x: jnp.interp(new, old, x), 1, 1)(init).astype(p.dtype)
    return curve.at[0].set(p).at[-1].set(q)


def limit(tolerance: float | None, dtype: Any, low: float, high: float) -> float:
    """The tolerance, or the default for float64 (`low`) or a lower precision (`high`)."""
    return tolerance if tolerance is not None else low if jnp.finfo(dtype).eps < 1e-12 else high


@jax.jit(static_argnames=("solver", "chunk"))
def solve(solver: Solver, metric: Any, p: Array, q: Array, chunk: int | None = None) -> Geodesic:
    """Geodesics between the rows of p and q (n, d), as one program; leaves of the result are (n, ...).

    All at once, or `chunk` at a time: less memory, and a slow pair keeps only those of its chunk waiting.
    """
    each = jax.vmap(lambda p, q: solver(metric, p, q))
    n = len(p)
    if chunk is None or n <= chunk:
        return each(p, q)
    rows = (jnp.arange(-(-n // chunk) * chunk) % n).reshape(-1, chunk)
    found = jax.lax.map(lambda i: each(p[i], q[i]), rows)
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:n], found)


def require(found: Geodesic) -> Geodesic:
    """The geodesics, or `GenkitError` that counts those that did not converge."""
    good = np.atleast_1d(np.asarray(found.converged))
    if not good.all():
        worst = np.atleast_1d(np.asarray(found.residual))[~good]
        raise GenkitError(
            f"{(~good).sum()} of {good.size} geodesics did not converge (residuals from {worst.min():.2g} to "
            f"{worst.max():.2g}); use more segments or iterations, float64, or Hybrid, which starts from a graph"
        )
    return found
