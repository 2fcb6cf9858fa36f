"""N(x; 0, 1) exp(-(x - 2)^2 / 0.5): a density between which and its prior samplers go, whose integral is known.

`draw`, `log_p0` and `log_p` as `genkit.smc.Tempering.run` and its kin take them; the posterior is N(1.6, 0.2).
"""

import jax
import jax.numpy as jnp

LOG_Z = -2.4047189562170503


def draw(key: jax.Array) -> jax.Array:
    """(1,) from the prior."""
    return jax.random.normal(key, (1,))


def log_p0(x: jax.Array) -> jax.Array:
    """The prior, () of x (1,)."""
    return jax.scipy.stats.norm.logpdf(x).sum()


def log_p(x: jax.Array) -> jax.Array:
    """The density, () of x (1,)."""
    return log_p0(x) - jnp.sum((x - 2) ** 2) / 0.5
