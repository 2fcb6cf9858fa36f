"""Guidance: maps from denoiser to denoiser, composed from left to right.

Those by a measurement are `genkit.steer.PiGDM` and `MMPS`, by their method `guidance`.
Each is a frozen dataclass whose strengths and observations are leaves; called on a denoiser it returns the guided one.
All speak through Tweedie's formula: adding g to the score of p_t adds (sigma^2 / alpha) g to the denoised value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import callable_tree
from genkit.diffusion.denoiser import Denoiser, Wrapped, check_process, process_of
from genkit.diffusion.process import per_item
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Guided(Wrapped):
    """A denoiser with guidance."""

    guidance: Any
    denoiser: Denoiser

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """The guided E[x_0 | x_t = x]."""
        return self.guidance.guide(self.denoiser, x, t, cond)


class Guidance:
    """Base: a subclass has ``guide(denoiser, x, t, cond) -> denoised``."""

    def __call__(self, denoiser: Denoiser) -> Guided:
        """The guided denoiser."""
        own = {f.name: callable_tree(v) for f in fields(self) if callable(v := getattr(self, f.name))}  # type: ignore
        return Guided(replace(self, **own), callable_tree(denoiser))  # type: ignore[type-var]

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """The guided denoised value, shape of x (n, ...)."""
        raise NotImplementedError(f"{type(self).__name__} has no guide")


def score_scale(denoiser: Denoiser, t: Array, x: Array) -> Array:
    """sigma^2 / alpha, which turns a score into a shift of the denoised value."""
    process, t = process_of(denoiser), per_item(t, x)
    return process.sigma(t) ** 2 / process.alpha(t)


@register_dataclass
@dataclass(frozen=True)
class ClassifierFree(Guidance):
    """D = D_u + w (D_c - D_u) with the strength w (Ho and Salimans 2022, arXiv 2207.12598).

    w = 0 is unconditional, 1 conditional; papers that write (1 + w) D_c - w D_u mean w + 1 here. Only where
    low <= sigma / alpha <= high (Kynkaanniemi et al. 2024, arXiv 2404.07724), elsewhere D_c. `rescale` in [0, 1] draws
    the standard deviation of each item towards that of D_c (Lin et al. 2024, arXiv 2305.08891, eq. 15 and 16). Both
    values come from one call of a doubled batch.
    """

    strength: Any = 1.0
    """The w above."""
    null: Any = None
    """The condition that means none, leaves that broadcast to those of cond; zeros if not given."""
    low: Any = 0.0
    """Lowest noise level with guidance."""
    high: Any = jnp.inf
    """Highest noise level with guidance."""
    rescale: Any = 0.0
    """Share of the rescaling."""

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """One call with 2 n items."""
        if cond is None:
            raise UsageError("classifier-free guidance needs a condition; give cond to the sampler")
        null = jax.tree.map(jnp.zeros_like, cond)
        if self.null is not None:
            null = jax.tree.map(lambda a, z: jnp.broadcast_to(a, z.shape).astype(z.dtype), self.null, null)
        t = jnp.broadcast_to(jnp.asarray(t), x.shape[:1])
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (x, t, cond), (x, t, null))
        conditional, free = jnp.split(denoiser(*both), 2)
        guided = free + jnp.asarray(self.strength, x.dtype) * (conditional - free)
        axes = tuple(range(1, x.ndim))
        spread, own = (jnp.maximum(a.var(axes, keepdims=True), 1e-12) for a in (conditional, guided))
        ratio = jnp.sqrt(spread / own)  # differentiable where an item does not vary
        guided = guided * (1 + self.rescale * (ratio - 1))
        level = process_of(denoiser).ratio(per_item(t, x))
        return jnp.where((self.low <= level) & (level <= self.high), guided, conditional)


@register_dataclass
@dataclass(frozen=True)
class Auto(Guidance):
    """Autoguidance: D = D_weak + strength (D - D_weak) with a worse version of the model (arXiv 2406.02507)."""

    weak: Denoiser
    strength: Any = 1.0

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """Two calls."""
        check_process(self.weak, process_of(denoiser), "the model that autoguidance corrects")
        weak = self.weak(x, t, cond)
        return weak + jnp.asarray(self.strength, x.dtype) * (denoiser(x, t, cond) - weak)


@register_dataclass
@dataclass(frozen=True)
class Classifier(Guidance):
    """D + strength (sigma^2 / alpha) grad_x log p(y | x_t) (Dhariwal and Nichol 2021, arXiv 2105.05233).

    With the exact log p(y | x_t) and strength 1 this is E[x_0 | x_t, y]. A discriminator's log odds in its place
    correct the model towards the data (Kim et al. 2023, arXiv 2211.17091).
    """

    log_prob: Callable[[Array, Array, Any], Array]
    """``(x (n, ...), t, cond) -> (n,)``; with parameters as leaves where it is jax.tree_util.Partial(f, params)."""
    strength: Any = 1.0

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """One call, and one gradient of the classifier."""
        gradient = jax.grad(lambda x: self.log_prob(x, t, cond).sum())(x)
        return denoiser(x, t, cond) + self.strength * score_scale(denoiser, t, x) * gradient


@register_dataclass
@dataclass(frozen=True)
class Replacement(Guidance):
    """Inpainting by replacement: where `mask` is 1 the denoised value is the known one (Song et al. 2021, appendix I).

    The known part then follows its own exact path; the rest sees it only through the network, so samples are not
    those of the posterior. `known` and `mask` broadcast with an item.
    """

    known: Any
    mask: Any

    def guide(self, denoiser: Denoiser, x: Array, t: Array, cond: Any) -> Array:
        """One call."""
        return jnp.where(jnp.asarray(self.mask) > 0, jnp.asarray(self.known, x.dtype), denoiser(x, t, cond))
