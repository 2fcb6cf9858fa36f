"""Curves: length, energy, the exponential map as the solution of the geodesic equation."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genkit_latents.geometry.metric import acceleration, square
from genkit_latents.safe import root

Array = jax.Array


class Path(NamedTuple):
    """A geodesic from its start and first velocity."""

    curve: Array
    """(steps + 1, d), at equal times from 0 to 1"""
    velocity: Array
    """(steps + 1, d)"""
    drift: Array
    """largest relative change of the speed, which an exact solution conserves: the error that float32 shows"""


def pieces(metric: Any, curve: Array) -> Array:
    """Squared lengths (n,) of the pieces of a polygon (n + 1, d): chords where there are, else the midpoint rule."""
    a, b = curve[:-1], curve[1:]
    if hasattr(metric, "chord"):
        return jax.vmap(metric.chord)(a, b)
    return jax.vmap(lambda a, b: square(metric, (a + b) / 2, b - a))(a, b)


def length(metric: Any, curve: Array) -> Array:
    """Length of a polygon (n + 1, d); the error is of order n^-2."""
    return root(pieces(metric, curve)).sum()


def energy(metric: Any, curve: Array) -> Array:
    """Energy of a polygon (n + 1, d) run through in unit time, half the integral of the squared speed."""
    return 0.5 * (curve.shape[0] - 1) * pieces(metric, curve).sum()


def straight(p: Array, q: Array, segments: int) -> Array:
    """The polygon (segments + 1, d) along the straight line."""
    t = jnp.linspace(0, 1, segments + 1, dtype=p.dtype)[:, None]
    return (1 - t) * p + t * q


def shoot(metric: Any, p: Array, v: Array, steps: int = 64) -> Path:
    """The geodesic from p (d,) with velocity v (d,), time 0 to 1, by the classical Runge-Kutta method.

    The error is of order steps^-4, and `drift` measures it.
    """
    h = 1.0 / steps

    def slope(z: Array, v: Array) -> tuple[Array, Array]:
        return v, acceleration(metric, z, v)

    def move(state: tuple[Array, Array], _: None) -> Any:
        z, v = state
        a1, b1 = slope(z, v)
        a2, b2 = slope(z + h / 2 * a1, v + h / 2 * b1)
        a3, b3 = slope(z + h / 2 * a2, v + h / 2 * b2)
        a4, b4 = slope(z + h * a3, v + h * b3)
        new = (z + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), v + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4))
        return new, new

    _, (curve, velocity) = jax.lax.scan(move, (p, v), None, length=steps)
    curve, velocity = jnp.concatenate([p[None], curve]), jnp.concatenate([v[None], velocity])
    speed = root(jax.vmap(lambda z, v: square(metric, z, v))(curve, velocity))
    drift = jnp.abs(speed - speed[0]).max() / jnp.where(speed[0] > 0, speed[0], 1)
    return Path(curve, velocity, drift)


def exp(metric: Any, p: Array, v: Array, steps: int = 64) -> Array:
    """Where the geodesic from p with velocity v is at time 1, (d,)."""
    return shoot(metric, p, v, steps).curve[-1]
