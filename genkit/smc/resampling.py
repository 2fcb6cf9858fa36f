"""When to resample, and what becomes of the weights."""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.smc import schemes
from genkit.smc.schemes import Scheme
from genkit.tree import register_dataclass

Array = jax.Array

SCHEMES: dict[str, Scheme] = {
    scheme.__name__: scheme
    for scheme in (
        schemes.multinomial,
        schemes.stratified,
        schemes.systematic,
        schemes.residual,
        schemes.ssp,
        schemes.branching,
        schemes.killing,
        schemes.conditional_multinomial,
        schemes.conditional_systematic,
        schemes.conditional_killing,
    )
}


def ess(log_w: Array) -> Array:
    """Effective sample size (sum w)^2 / sum w^2 of log-weights (n,), of any scale; 0 if all weights are zero."""
    w = schemes.weights(log_w)
    return jnp.where(log_w.max() == -jnp.inf, 0.0, w.sum() ** 2 / (w**2).sum())


@register_dataclass
@dataclass(frozen=True)
class Resample:
    """Resample when the effective sample size falls below a fraction of the population; a `genkit.chain.Resampler`."""

    scheme: str | Scheme = field(default="systematic", metadata={"static": True})
    """Name in `SCHEMES`, or a function (key, log_w (n,), m) -> idx (m,) int32."""
    threshold: Any = 0.5
    """Fraction of n; 1 resamples always, 0 never."""
    m: int | None = field(default=None, metadata={"static": True})
    """Resample always, to m < n particles whose moves return n / m states each (waste-free); None is n."""
    decide_by: Literal["after", "before"] = field(default="after", metadata={"static": True})
    """Whose effective sample size decides where a kernel looks ahead: the weights after the look, or before."""
    differentiable: bool = field(default=False, metadata={"static": True})
    """Let gradients pass to the weights: Scibior and Wood 2021 (arXiv 2106.10314). If moves have none, the gradient of
    log_z is then the estimate of the score by Fisher's identity."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if not callable(self.scheme) and self.scheme not in SCHEMES:
            raise UsageError(f"unknown resampling scheme {self.scheme!r}; known are {', '.join(SCHEMES)}")
        if isinstance(self.threshold, (int, float, np.number)) and not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold} must lie in [0, 1], a fraction of the number of particles")

    @property
    def independent(self) -> bool:
        """Whether the n children of a population are independent draws by its weights."""
        return self.scheme in ("multinomial", schemes.multinomial) and self.m is None

    def __call__(self, key: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
        """(idx (m,), log_w (m,), did ()); see `genkit.chain.Resampler`."""
        n = after.shape[0]
        scheme = self.scheme if callable(self.scheme) else SCHEMES[self.scheme]
        m = n if self.m is None else self.m

        def resample() -> tuple[Array, Array]:
            idx, log_w = jnp.asarray(scheme(key, after, m), jnp.int32), jnp.full(m, -jnp.log(m), after.dtype)
            if self.differentiable:
                log_w = log_w + after[idx] - jax.lax.stop_gradient(after[idx])
            return idx, log_w

        if self.m is not None:
            return *resample(), jnp.ones((), bool)
        did = self.due(after if self.decide_by == "after" else before)
        return *jax.lax.cond(did, resample, lambda: (jnp.arange(n, dtype=jnp.int32), after)), did

    def due(self, log_w: Array) -> Array:
        """Whether weights (n,) call for resampling, () bool."""
        return (ess(log_w) < self.threshold * log_w.shape[0]) | (jnp.asarray(self.threshold) >= 1)
