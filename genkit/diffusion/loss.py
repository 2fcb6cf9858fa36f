"""The denoising loss."""

from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion.denoiser import EDMDenoiser, denoise
from genkit.diffusion.noise import Noise
from genkit.diffusion.process import EDM, per_item
from genkit.errors import UsageError

Array = jax.Array


def denoising_loss(
    key: Array,
    denoiser: EDMDenoiser,
    x0: Array,
    cond: Any,
    noise: Noise,
    weight: Array | None = None,
    mask: Array | None = None,
) -> Array:
    """E lambda(sigma) w |D(x_0 + sigma eps; sigma, cond) - x_0|^2, a mean over the batch and all entries.

    Karras et al. 2022 (arXiv 2206.00364), eq. 2 and Table 1. A network that returns zero has loss 1 on data
    of mean 0 and standard deviation sigma_data.

    Args:
        key: for the levels and the noise.
        denoiser: the denoiser, with its `loss_weight(sigma)`.
        x0: data (n, ...).
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        noise: distribution of sigma.
        weight: w, one number per entry of the last axis of x0, or any shape that broadcasts with x0.
        mask: 1 where an entry counts, 0 where not; broadcasts with x0. The mean is over what counts.
    """
    for name, a in (("weight", weight), ("mask", mask)):
        if a is not None and not _broadcasts(jnp.shape(a), x0.shape):
            raise UsageError(f"{name} of shape {jnp.shape(a)} does not broadcast to data of shape {x0.shape}")
    k_level, k_noise = jax.random.split(key)
    sigma = noise.draw(k_level, x0.shape[0]).astype(x0.dtype)
    x, _ = EDM.perturb(k_noise, x0, sigma)
    error = (denoise(denoiser, x, sigma, cond) - x0) ** 2 * denoiser.loss_weight(per_item(sigma, x0))
    if weight is not None:
        error = error * weight
    if mask is None:
        return error.mean()
    mask = jnp.broadcast_to(mask, error.shape).astype(error.dtype)
    return jnp.where(mask > 0, mask * error, 0).sum() / jnp.maximum(mask.sum(), 1)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    own = shape[::-1]
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(own, to[::-1], strict=False))
