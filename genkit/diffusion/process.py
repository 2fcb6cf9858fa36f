"""Gaussian paths x_t = alpha(t) x_0 + sigma(t) eps with eps ~ N(0, I)."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from genkit.diffusion.random import normal
from genkit.errors import UsageError

Array = jax.Array


def per_item(t: Array | float, x: Array) -> Array:
    """A time () or (n,) shaped to multiply x (n, ...); raises UsageError for another shape or an integer."""
    t = jnp.asarray(t)
    if not jnp.issubdtype(t.dtype, jnp.floating):
        raise UsageError(f"time has type {t.dtype}; times and noise levels are floats, pass a float array")
    if t.ndim == 0:
        return t
    if t.shape != x.shape[:1]:
        raise UsageError(f"time has shape {t.shape}; expected () or {x.shape[:1]}, one time per item of the batch")
    return t.reshape(t.shape + (1,) * (x.ndim - 1))


@dataclass(frozen=True)
class Process:
    """A Gaussian path, given by alpha and sigma, elementwise and differentiable functions of t.

    Sources: Song et al. 2021 (arXiv 2011.13456), Karras et al. 2022 (arXiv 2206.00364). All methods take
    t () or (n,) and x (n, ...).
    """

    alpha: Callable[[Array], Array]
    sigma: Callable[[Array], Array]
    t_min: float
    t_max: float

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """Mean alpha x0 (n, ...) and standard deviation sigma of x_t given x_0."""
        t = per_item(t, x0)
        return self.alpha(t) * x0, self.sigma(t)

    def perturb(self, key: Array, x0: Array, t: Array) -> tuple[Array, Array]:
        """Draw x_t given x_0; returns (x_t, eps)."""
        eps = normal(key, x0.shape).astype(x0.dtype)
        mean, std = self.marginal(x0, t)
        return mean + std * eps, eps

    def score(self, x: Array, t: Array, denoised: Array) -> Array:
        """Gradient of log p_t at x from E[x_0 | x_t] (Tweedie): (alpha D - x) / sigma^2."""
        t = per_item(t, x)
        return (self.alpha(t) * denoised - x) / self.sigma(t) ** 2

    def logsnr(self, t: Array) -> Array:
        """2 log(alpha / sigma)."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def drift_diffusion(self, t: Array) -> tuple[Array, Array]:
        """f and g^2 of dx = f x dt + g dW: f = (log alpha)', g^2 = (sigma^2)' - 2 f sigma^2."""
        t = jnp.asarray(t, float)
        one = jnp.ones_like(t)
        _, f = jax.jvp(lambda s: jnp.log(self.alpha(s)), (t,), (one,))
        variance, slope = jax.jvp(lambda s: self.sigma(s) ** 2, (t,), (one,))
        return f, slope - 2 * f * variance


def _identity(t: Array) -> Array:
    return jnp.asarray(t)


EDM = Process(alpha=jnp.ones_like, sigma=_identity, t_min=0.002, t_max=80.0)
"""Variance exploding in its own noise level: alpha = 1, sigma = t (Karras et al. 2022)."""
