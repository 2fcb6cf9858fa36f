"""Does a decoder have the metric that was chosen? A measure, and the penalty that makes it so."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genkit_latents.geometry import Family

Array = jax.Array


def relative_metric(family: Family, eta: Any, frame: Array, z: Array) -> Array:
    """The pulled-back Fisher metric at z in an orthonormal frame (dim, *shape) of the chosen one, (dim, dim).

    A = E' J' I J E with E = G^-1/2: the identity where both metrics agree, a multiple of it where they do up to scale.
    `eta(z)` gives the parameters of the family.
    """
    j = jax.vmap(lambda e: jax.jvp(eta, (z,), (e,))[1])(frame)
    return j @ (family.information(eta(z))[:, None] * j.T)


class Agreement(NamedTuple):
    """Of the pulled-back with the chosen metric, up to one common factor."""

    difference: Array
    """() mean of |A / c - I| / sqrt(dim) (Frobenius), c the mean of tr A / dim; 0 where they agree"""
    condition: Array
    """() median condition number of A"""
    volume: Array
    """() variance of the log of the ratio of volumes, log det A / 2"""
    scale: Array
    """() c: squared lengths in data space over those in latent space"""


def agreement(a: Array) -> Agreement:
    """From matrices (n, dim, dim) of `relative_metric`."""
    d = a.shape[-1]
    scale = jnp.trace(a, axis1=1, axis2=2).mean() / d
    gap = a / scale - jnp.eye(d, dtype=a.dtype)
    values = jnp.maximum(jnp.linalg.eigvalsh(a), 1e-12 * scale)
    volume = 0.5 * jnp.log(values).sum(1)
    return Agreement(
        jnp.sqrt(jnp.square(gap).sum((1, 2)) / d).mean(),
        jnp.median(values[:, -1] / values[:, 0]),
        volume.var(),
        scale,
    )


def metric_penalty(a: Array) -> Array:
    """Mean |A / c - I|^2 / dim over matrices (n, dim, dim), c the mean of tr A / dim: 0 only for A = c I.

    With the Euclidean metric it is d E tr A^2 / (E tr A)^2 - 1, the relaxed isometry of Lee et al. 2022; with A = G and
    c given the flatness penalty of FlatVI (Palma et al. 2025) over c^2.
    """
    d = a.shape[-1]
    scale = jnp.trace(a, axis1=1, axis2=2).mean() / d
    return jnp.square(a / scale - jnp.eye(d, dtype=a.dtype)).sum((1, 2)).mean() / d
