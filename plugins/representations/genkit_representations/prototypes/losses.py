"""Targets and losses of self-distillation; logits (..., B, K) are those of B samples and K prototypes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = Any


def sinkhorn(logits: Array, iterations: int = 3) -> Array:
    """Probabilities (..., B, K) by Sinkhorn-Knopp, in log space: samples evenly over prototypes, each row summing to 1.

    Logits are already divided by the temperature. SwAV (arXiv 2006.09882) and DINOv2.
    """
    for _ in range(iterations):
        logits = logits - jax.nn.logsumexp(logits, -2, keepdims=True)
        logits = logits - jax.nn.logsumexp(logits, -1, keepdims=True)
    return jnp.exp(logits)


def moved(center: Array, rows: Array, momentum: float = 0.9) -> Array:
    """The centre (K,) after a step: its average with the mean of the teacher's rows (..., K)."""
    return momentum * center + (1 - momentum) * rows.reshape(-1, rows.shape[-1]).mean(0)


def distillation(targets: Array, log_probs: Array, same: bool = True) -> Array:
    """Mean cross-entropy over pairs of a teacher's view (G, B, K) and a student's (V, B, K), and over the batch.

    With `same` the first G views of the student are those of the teacher, and no view is its own target (DINO, arXiv
    2104.14294, eq. 3).
    """
    pairs = -jnp.einsum("gbk,vbk->gv", targets, log_probs) / targets.shape[1]
    counts = ~jnp.eye(*pairs.shape, dtype=bool) if same else jnp.ones(pairs.shape, bool)
    return jnp.where(counts, pairs, 0).sum() / counts.sum()


def masked_patches(targets: Array, log_probs: Array, mask: Array) -> Array:
    """Cross-entropy of masked patches (iBOT, arXiv 2111.07832, eq. 2): (..., T, K), mask (..., T) bool.

    A mean over the masked patches of an image, then over images; one without masked patches counts 0.
    """
    each = jnp.where(mask, -(targets * log_probs).sum(-1), 0).sum(-1)
    return (each / jnp.maximum(mask.sum(-1), 1)).mean()


def entropy(p: Array) -> Array:
    """-sum p log p over the last axis, nats; 0 log 0 = 0."""
    return -jax.scipy.special.xlogy(p, p).sum(-1)


def me_max(probs: Array) -> Array:
    """log K less the entropy of the mean probability over all rows (..., K): MSN's regulariser (arXiv 2204.07141).

    At least 0; 0 where prototypes are used evenly, which many copies of one are as well.
    """
    return jnp.log(probs.shape[-1]) - entropy(probs.reshape(-1, probs.shape[-1]).mean(0))
