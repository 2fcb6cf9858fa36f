"""Denoisers: pytree callables (x, t, cond) -> E[x_0 | x_t]."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from genkit.diffusion.process import per_item
from genkit.errors import UsageError

Array = jax.Array
Network = Callable[[Any, Array, Array, Any], Array]


class Denoiser(Protocol):
    """E[x_0 | x_t]: x (n, ...), t () or (n,) float, cond a pytree of leaves (n, ...) or None.

    Parameters are leaves, so a trained network and a closed form are one type and new parameters do not
    compile again. A plain function is accepted too; it must be the same object from call to call.
    """

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Return an array of the shape of x."""
        ...


def denoise(denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
    """Call a denoiser and check its shape, in tracing."""
    d = denoiser(x, t, cond)
    if d.shape != x.shape:
        raise UsageError(f"the denoiser returned shape {d.shape} for x of shape {x.shape}; it must return x_0 like x")
    return d.astype(x.dtype)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EDMDenoiser:
    """Preconditioned network, Karras et al. 2022 (arXiv 2206.00364), eq. 7 and Table 1.

    D(x; sigma, cond) = c_skip x + c_out F(c_in x; c_noise, cond). The coefficients are at least float32 even
    if F returns bfloat16.

    Args:
        network: F, called as (params, c_in x (n, ...), c_noise (n,), cond), returns the shape of x. Static.
        params: its parameters, any pytree.
        sigma_data: standard deviation of the data, () or one per entry of the last axis of x.
    """

    network: Network = field(metadata={"static": True})
    params: Any
    sigma_data: Array | float = 0.5

    def coefficients(self, sigma: Array | float) -> tuple[Array, Array, Array, Array]:
        """(c_skip, c_out, c_in, c_noise) at noise level sigma, broadcast with sigma_data."""
        sigma, s = _at_least_float32(sigma), _at_least_float32(self.sigma_data)
        total = sigma**2 + s**2
        return s**2 / total, sigma * s / jnp.sqrt(total), 1 / jnp.sqrt(total), jnp.log(sigma) / 4

    def loss_weight(self, sigma: Array | float) -> Array:
        """lambda(sigma) = 1 / c_out^2, by which the loss is 1 at F = 0 at every level."""
        _, c_out, _, _ = self.coefficients(sigma)
        return 1 / c_out**2

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """E[x_0 | x_t = x] at noise level t () or (n,)."""
        x = _at_least_float32(x)
        c_skip, c_out, c_in, c_noise = self.coefficients(per_item(t, x))
        f = self.network(self.params, c_in * x, jnp.broadcast_to(c_noise.reshape(-1), x.shape[:1]), cond)
        return c_skip * x + c_out * _at_least_float32(f)


def _at_least_float32(a: Array | float) -> Array:
    a = jnp.asarray(a)
    return a.astype(jnp.promote_types(a.dtype, jnp.float32))
