"""The probability flow from any level of a chain to data."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.steer.method import Basis, Levels

Array = jax.Array


class Path(NamedTuple):
    """Euler steps of the probability flow from a level to zero; leaves as for one arrival."""

    s: Any
    """(L + 1,) levels, the first `count` + 1 count"""
    time: Any
    """(L,)"""
    alpha: Any
    """(L,)"""
    count: Any
    """() int, number of steps, which is that of network calls"""


def flow_paths(levels: Levels, most: int | None) -> Path:
    """Paths to zero from every level, in at most that many steps of the levels that remain; leaves (T, ...)."""
    n = len(levels.s)
    most = min(most or n, n)
    places = [np.unique(np.linspace(i, n - 1, min(most, n - i)).round().astype(int)) for i in range(n)]
    count = np.array([len(where) for where in places], np.int32)
    index = np.stack([np.pad(where, (0, most - len(where)), mode="edge") for where in places])
    s = np.where(np.arange(most) < count[:, None], levels.s[index], 0.0)
    return Path(np.concatenate([s, np.zeros((n, 1))], 1), levels.t[index], levels.alpha[index], count)


def reconstruct(basis: Basis, z: Array, path: Path) -> Array:
    """x_0 by the probability flow from z, (n, d)."""
    s = jnp.asarray(path.s, z.dtype)
    time, alpha = jnp.asarray(path.time), jnp.asarray(path.alpha)

    def call(k: Any, z: Array) -> Array:
        d = basis.denoised(z, time[k], alpha[k])
        return d + s[k + 1] / s[k] * (z - d)

    return call(0, z) if time.shape == (1,) else jax.lax.fori_loop(0, path.count, call, z)
