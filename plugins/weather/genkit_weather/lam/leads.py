"""The noise that a member starts from at each lead of a block (Andrae et al. 2025, arXiv 2410.05431).

A deterministic sampler maps noise z and a lead tau to a state. One z for all leads makes a trajectory continuous in
tau; another z at each lead makes states that share only what they are conditioned on; in between is an
Ornstein-Uhlenbeck process over the lead. In all three z_k = sum_j W_kj eps_j with rows of unit norm, so that each state
alone has the same distribution.
"""

from functools import partial
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import particle_keys
from genkit.errors import UsageError

Coupling = Literal["shared", "ou", "independent"]


def mixing(coupling: Coupling, leads: int, decay: float) -> np.ndarray:
    """(leads, leads) weights W of independent normals; `decay` is that of Ornstein-Uhlenbeck noise between two leads.

    z_1 = eps_1, z_k = a z_{k-1} + sqrt(1 - a^2) eps_k with a = exp(-decay); 1 is one noise for all, 0 a new one each.
    """
    a, k = {"shared": 1.0, "ou": np.exp(-decay), "independent": 0.0}[coupling], np.arange(leads)
    fresh = np.where(k == 0, 1.0, np.sqrt(1 - a**2))
    return np.tril(a ** np.maximum(k[:, None] - k, 0)) * fresh


def lead_noise(key: jax.Array, slots: jax.Array, weights: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normals of `shape` (n, ...), sum_j weights[i, j] eps_j with eps_j from the key, slot i and j alone."""
    keys = particle_keys(key, slots)

    def add(z: jax.Array, u: Any) -> Any:
        j, w = u
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, j)
        eps = jax.vmap(partial(jax.random.normal, shape=(prod(shape[1:]),)))(own)
        return z + w[:, None] * eps, None

    each = jnp.asarray(weights, jnp.float32).T
    zero = jnp.zeros((shape[0], prod(shape[1:])), jnp.float32)
    return jax.lax.scan(add, zero, (jnp.arange(len(each)), each))[0].reshape(shape)


def draws_on_the_way(table: Any) -> bool:
    """Whether the table of a sampler adds noise in some step."""
    return any(np.any(noise) for noise in (table.churn, table.steps.noise) if noise is not None)


def check_deterministic(table: Any, coupling: Coupling) -> None:
    """Refuse a sampler that draws noise on the way, where noise is to be shared over the leads."""
    if coupling != "independent" and draws_on_the_way(table):
        raise UsageError(
            f"coupling={coupling} follows a noise over the leads, which needs a sampler without noise: set churn to "
            "0, or choose coupling=independent"
        )
