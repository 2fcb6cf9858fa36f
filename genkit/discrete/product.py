"""What a guided denoiser answers: logits of several experts, and a tilt of every move."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass

Array = jax.Array

# Largest log-ratio of guidance (Nisonoff et al. 2024, arXiv 2406.01572).
CLIP = 80.0


@register_dataclass
@dataclass(frozen=True)
class Product:
    """A reverse kernel proportional to exp(tilt) prod_e r_e^w_e, r_e being the kernel (or rates) of expert e."""

    experts: tuple[Any, ...]
    """Logits of x_0 by each expert, each in the form of a plain answer: leaves (n, ..., K)."""
    weights: tuple[Array, ...]
    """(n,) each."""
    tilt: Any = None
    """Log-factor of a move of each site to each state, zero where it stays: leaves (n, ..., S); or None."""


def as_product(answer: Any) -> Product:
    """A plain answer as a product of one expert."""
    if isinstance(answer, Product):
        return answer
    return Product((answer,), (jnp.ones(jax.tree.leaves(answer)[0].shape[0]),))


def multiply(a: Product, b: Product) -> Product:
    """The product of two products."""
    tilts = [c.tilt for c in (a, b) if c.tilt is not None]
    tilt = jax.tree.map(jnp.add, *tilts) if len(tilts) == 2 else next(iter(tilts), None)
    return Product((*a.experts, *b.experts), (*a.weights, *b.weights), tilt)


def power(a: Product, w: Array | float) -> Product:
    """The product to the power w."""
    return replace(a, weights=tuple(w * v for v in a.weights), tilt=jax.tree.map(lambda c: times(c, w), a.tilt))


def times(log_r: Array, w: Array | float) -> Array:
    """w log r with 0 log 0 = 0; under a negative power r counts as e^-80 at least (arXiv 2406.01572)."""
    w = jnp.asarray(w, log_r.dtype)
    w = w.reshape(w.shape + (1,) * (log_r.ndim - w.ndim))
    return jnp.where(w == 0, 0.0, w * jnp.where(w < 0, jnp.maximum(log_r, -CLIP), log_r))


def each(answer: Any, f: Callable[[Any], Any]) -> Any:
    """Apply f to the logits of a plain answer, or of every expert."""
    return replace(answer, experts=tuple(map(f, answer.experts))) if isinstance(answer, Product) else f(answer)


def lead(answer: Any) -> Any:
    """The logits of a plain answer, or of the first expert."""
    return answer.experts[0] if isinstance(answer, Product) else answer


def combine(answer: Any) -> Any:
    """sum_e w_e log r_e + tilt; what an expert of positive weight excludes stays excluded."""
    if not isinstance(answer, Product):
        return answer
    factors = [jax.tree.map(lambda e, w=w: times(e, w), e) for e, w in zip(answer.experts, answer.weights, strict=True)]
    return jax.tree.map(lambda *terms: sum(terms), *factors, *([] if answer.tilt is None else [answer.tilt]))
