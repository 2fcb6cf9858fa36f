"""The denoising loss of every process and parameterisation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion.denoiser import Denoiser, denoise, process_of
from genkit.diffusion.noise import Noise
from genkit.diffusion.process import Process, per_item
from genkit.errors import UsageError

Array = jax.Array


@dataclass(frozen=True)
class MinSNR:
    """Weight min(SNR, gamma) on |D - x_0|^2 (Hang et al. 2023, arXiv 2303.09556)."""

    gamma: float = 5.0
    """Largest weight."""

    def __call__(self, process: Process, t: Array) -> Array:
        """The weight at time t."""
        return jnp.minimum(jnp.exp(process.logsnr(t)), self.gamma)


def denoising_loss(
    key: Array,
    denoiser: Denoiser,
    x0: Array,
    cond: Any,
    noise: Noise,
    weight: Array | None = None,
    mask: Array | None = None,
    level_weight: Callable[[Process, Array], Array] | None = None,
) -> Array:
    """E lambda(t) w |D(alpha x_0 + sigma eps; t, cond) - x_0|^2, a mean over the batch and all entries.

    With lambda = `denoiser.loss_weight` this is the usual loss of each parameterisation: of the noise, the velocity or
    the score (Ho et al. 2020; Song et al. 2021), or of EDM (Karras et al. 2022, arXiv 2206.00364, eq. 2 and Table 1),
    where a network that returns zero has loss 1 on data of mean 0 and standard deviation sigma_data.

    Args:
        key: for the levels and the noise.
        denoiser: the denoiser.
        x0: data (n, ...).
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        noise: distribution of the noise level or of the time.
        weight: w, one number per entry of the last axis of x0, or any shape that broadcasts with x0.
        mask: 1 where an entry counts, 0 where not; broadcasts with x0. The mean is over what counts.
        level_weight: lambda(process, t) in place of the denoiser's, such as `MinSNR()`.
    """
    for name, a in (("weight", weight), ("mask", mask)):
        if a is not None and not _broadcasts(jnp.shape(a), x0.shape):
            raise UsageError(f"{name} of shape {jnp.shape(a)} does not broadcast to data of shape {x0.shape}")
    process = process_of(denoiser)
    k_level, k_noise = jax.random.split(key)
    t = noise.times(k_level, x0.shape[0], process).astype(x0.dtype)
    x, _ = process.perturb(k_noise, x0, t)
    t_item = per_item(t, x0)
    if level_weight is not None:
        scale = level_weight(process, t_item)
    elif hasattr(denoiser, "loss_weight"):
        scale = denoiser.loss_weight(t_item)  # type: ignore[attr-defined]
    else:
        raise UsageError(f"{type(denoiser).__name__} has no loss_weight; give level_weight(process, t)")
    error = (denoise(denoiser, x, t, cond) - x0) ** 2 * scale
    if weight is not None:
        error = error * weight
    if mask is None:
        return error.mean()
    mask = jnp.broadcast_to(mask, error.shape).astype(error.dtype)
    total = mask.sum()
    return jnp.where(mask > 0, mask * error, 0).sum() / jnp.where(total > 0, total, 1)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    own = shape[::-1]
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(own, to[::-1], strict=False))
