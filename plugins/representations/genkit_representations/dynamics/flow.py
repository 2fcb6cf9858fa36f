"""The same networks followed numerically: their flow by an adaptive solver, and gradient descent on the matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit_representations.dynamics.modes import Modes

Array = Any


def flow(modes: Modes, times: np.ndarray, tolerance: float = 1e-11) -> np.ndarray:
    """The modes at times (T,), (T, k) float64, by Dormand-Prince 8(5,3) with steps of adaptive size."""
    with jax.enable_x64(True):
        rows = [jnp.asarray(row) for row in (modes.lam, modes.s, modes.gamma, modes.start)]
        found = np.asarray(_flow(jnp.asarray(np.asarray(times, float)), rows, float(modes.eta), tolerance))
    if not np.isfinite(found).all():
        raise GenkitError(f"the solver did not reach t = {times[-1]:g}; give a larger tolerance than {tolerance:g}")
    return found


@jax.jit
def _flow(times: Array, rows: list[Array], eta: Array, tolerance: Array) -> Array:
    import diffrax

    lam, s, gamma, start = rows

    def slope(t: Array, z: Array, args: None) -> Array:
        return jnp.sqrt(gamma**2 + 4 * eta**2 * z**2) * (s - lam * z)

    control = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    term, method = diffrax.ODETerm(slope), diffrax.Dopri8()

    def until(t: Array) -> Array:  # each time from the start, as saving on the way asks the host about the times
        found = diffrax.diffeqsolve(
            term, method, 0.0, t, None, start, stepsize_controller=control, max_steps=100_000, throw=False
        )
        return jnp.where(diffrax.is_successful(found.result), found.ys[0], jnp.nan)  # type: ignore[index]

    return jnp.where(times[:, None] > 0, jax.vmap(until)(jnp.maximum(times, 1e-9)), start)


@dataclass(frozen=True)
class Regression:
    """Data of a linear network whose modes are known: y = x W*^T + noise."""

    x: np.ndarray
    """inputs (n, dx)"""
    y: np.ndarray
    """outputs (n, dy)"""
    u: np.ndarray
    """left singular vectors of Y^T X / n, (dy, k)"""
    v: np.ndarray
    """right ones, (dx, k)"""

    def layers(self, a: np.ndarray, b: np.ndarray, hidden: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """W1 (hidden, dx) and W2 (dy, hidden) that start along the modes with sizes a and b (k,)."""
        k = self.u.shape[1]
        if hidden < k:
            raise UsageError(f"{hidden} hidden units carry no {k} modes; give at least {k}")
        r, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((hidden, k)))
        return (r * a) @ self.v.T, (self.u * b) @ r.T


def regression(modes: Modes, n: int = 200, inputs: int = 4, outputs: int = 3, noise: float = 0.0, seed: int = 0) -> Any:
    """Data with exactly the variances `lam` and the singular values `s` of some modes.

    Inputs have variance along the k modes alone, or 1 along further directions, which no output depends on. `noise` is
    the standard deviation of a part of the outputs that no input explains, orthogonal to all of them.
    """
    k = len(modes.lam)
    if min(inputs, outputs) < k or n <= inputs:
        raise UsageError(f"{k} modes need that many inputs and outputs, and more rows than inputs; got {n} rows of "
                         f"{inputs} to {outputs}")  # fmt: skip
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, inputs)))
    v, _ = np.linalg.qr(rng.standard_normal((inputs, inputs)))
    u, _ = np.linalg.qr(rng.standard_normal((outputs, outputs)))
    lam = np.concatenate([modes.lam, np.ones(inputs - k)])
    x = np.sqrt(n) * (q * np.sqrt(lam)) @ v.T
    y = np.sqrt(n) * (q[:, :k] * (np.asarray(modes.s) / np.sqrt(modes.lam))) @ u[:, :k].T
    rest = noise * rng.standard_normal((n, outputs))
    return Regression(x, y + rest - q @ (q.T @ rest), u[:, :k], v[:, :k])


def descend(
    data: Regression, layers: tuple[np.ndarray, ...], step: float, steps: int, rates: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Gradient descent on 1/(2n) |Y - X (W2 W1)^T|^2: the matrices W2 W1 before each step and at the end.

    Returns (steps + 1, dy, dx) float64. A step of size `step` is one of Euler's method on the gradient flow, with the
    rates of the first and of the second layer.
    """
    n = len(data.x)
    with jax.enable_x64(True):
        moments = jnp.asarray(data.y.T @ data.x / n), jnp.asarray(data.x.T @ data.x / n)
        sizes = jnp.asarray([step * rate for rate in rates])
        return np.asarray(_descend(moments, tuple(jnp.asarray(w) for w in layers), sizes, steps))


@partial(jax.jit, static_argnames="steps")
def _descend(moments: tuple[Array, Array], layers: tuple[Array, Array], sizes: Array, steps: int) -> Array:
    yx, xx = moments

    def body(layers: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        w1, w2 = layers
        whole = w2 @ w1
        g = yx - whole @ xx
        return (w1 + sizes[0] * w2.T @ g, w2 + sizes[1] * g @ w1.T), whole

    (w1, w2), path = jax.lax.scan(body, layers, None, length=steps)
    return jnp.concatenate([path, (w2 @ w1)[None]])
