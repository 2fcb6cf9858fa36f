"""When to resample, and what becomes of the weights."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.smc import schemes
from genkit.smc.schemes import Scheme

Array = jax.Array

SCHEMES: dict[str, Scheme] = {"systematic": schemes.systematic}


def ess(log_w: Array) -> Array:
    """Effective sample size (sum w)^2 / sum w^2 of log-weights (n,), of any scale; 0 if all weights are zero."""
    top = log_w.max()
    log_w = log_w - jnp.where(top == -jnp.inf, 0.0, top)
    total = jax.nn.logsumexp(log_w)
    return jnp.where(top == -jnp.inf, 0.0, jnp.exp(2 * total - jax.nn.logsumexp(2 * log_w)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Resample:
    """Resample when the effective sample size falls below a fraction of the population; a `genkit.chain.Resampler`."""

    scheme: str | Scheme = field(default="systematic", metadata={"static": True})
    """Name in `SCHEMES`, or a function (key, log_w (n,), m) -> idx (m,) int32."""
    threshold: Any = 0.5
    """Fraction of n; 1 resamples always, 0 never."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not callable(self.scheme) and self.scheme not in SCHEMES:
            raise UsageError(f"unknown resampling scheme {self.scheme!r}; known are {', '.join(SCHEMES)}")
        if isinstance(self.threshold, (int, float, np.number)) and not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold} must lie in [0, 1], a fraction of the number of particles")

    def __call__(self, key: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
        """(idx (n,), log_w (n,), did ()); see `genkit.chain.Resampler`."""
        n = after.shape[0]
        did = (ess(after) < self.threshold * n) | (jnp.asarray(self.threshold) >= 1)
        scheme = self.scheme if callable(self.scheme) else SCHEMES[self.scheme]
        idx = jnp.where(did, scheme(key, after, n), jnp.arange(n, dtype=jnp.int32))
        return idx, jnp.where(did, -jnp.log(n).astype(after.dtype), after), did
