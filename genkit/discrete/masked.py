"""The loss of masked diffusion."""

from typing import Any

import jax
import jax.numpy as jnp

from genkit.discrete.factorised import Denoiser
from genkit.discrete.process import checked, only
from genkit.discrete.random import stratified
from genkit.discrete.transitions import Mixing, continuous

Array = jax.Array


def hidden_nll(
    denoiser: Denoiser,
    x0: Array,
    hidden: Array,
    t: Array,
    cond: Any,
    classes: int,
    allowed: Array | None = None,
    target: Array | None = None,
) -> Array:
    """sum over hidden sites of -log p(x_0 | visible sites), (n,) nats; one network call.

    Args:
        denoiser: called on x0 with the mask symbol K at hidden sites; returns logits (n, ..., K).
        x0: data (n, ...), int.
        hidden: bool, shape of x0.
        t: time for the denoiser, (n,).
        cond: what the denoiser is conditioned on.
        classes: K.
        allowed: (..., K) bool, the classes of each site, where they differ.
        target: bool, shape of x0: the hidden sites that count; all if None.
    """
    logits: Any = denoiser(jnp.where(hidden, classes, x0), t, cond)
    counts = hidden if target is None else hidden & target
    return -log_p_at(logits, x0, counts, classes, allowed).reshape(len(x0), -1).sum(1)


def log_p_at(logits: Array, x0: Array, sites: Array, classes: int, allowed: Array | None = None) -> Array:
    """log p(x_0), shape of x0, by logits (n, ..., K) at some sites (bool, shape of x0), 0 elsewhere."""
    logits = only(checked(logits, x0, classes), allowed)
    logits = jnp.where(sites[..., None], logits, 0.0)  # what is said of other sites is not used, be it NaN
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(sites, x0, 0)[..., None], -1)[..., 0]
    return jnp.where(sites, log_p, 0.0)


def masked_loss(
    key: Array, denoiser: Denoiser, x0: Array, cond: Any, process: Mixing, mask: Array | None = None
) -> Array:
    """Bound on -log p(x_0) in nats an item, a mean over the batch: Sahoo et al. 2024 (arXiv 2406.07524), eq. 10.

    E_t [-alpha'(t) / (1 - alpha(t)) sum over hidden sites of -log p(x_0 | x_t)], t uniform on (0, 1) and stratified
    over the batch. With exact conditionals it is -log p(x_0), whatever the schedule.

    Args:
        key: for times and masks.
        denoiser: the denoiser.
        x0: data (n, ...), int.
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        process: from `masked`, with a schedule in continuous time.
        mask: bool, broadcasts with x0: the sites that are real.
    """
    k_time, k_hide = jax.random.split(key)
    t = jnp.clip(stratified(k_time, len(x0)), 2.0**-24)
    schedule = continuous(process, "masked_loss")
    level, slope = schedule.level(t), schedule.slope(t)
    gone = jnp.exp(level.renew).reshape((-1,) + (1,) * (x0.ndim - 1))
    hidden = jax.random.uniform(k_hide, x0.shape) < gone
    hidden = hidden if mask is None else hidden & mask
    nll = hidden_nll(denoiser, x0, hidden, t, cond, process.data_classes, process.classes)
    return (-slope * jnp.exp(-level.renew) * nll).mean()
