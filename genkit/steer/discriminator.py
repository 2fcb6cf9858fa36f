"""Discriminator guidance of order-agnostic chains: Kelvinius and Lindsten 2024 (arXiv 2310.15817).

A discriminator that tells data q from samples of a model p, both partly hidden, has at its best the log-odds
log q(x_S) - log p(x_S), and q(x_i | x_S) = p(x_i | x_S) W(x_S, x_i) / W(x_S) with W = exp(log-odds). A
`StateFunction` is such a function, or the log-probability of a class, or a `WeightedSum`.

Weighted particles have the law p(x) W(x) / Z of the last potential: partial states only decide which paths go on, so
their errors vanish with more particles, and those of the last one stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, Tilted, callable_tree
from genkit.discrete import Reveal, categorical
from genkit.errors import UsageError
from genkit.smc import Resample
from genkit.steer.potentials import said, shown, tilted
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Ahead:
    """A particle that knows all values of its next site; leaves (n, ...)."""

    p: Tilted
    """log_h is log W at its state"""
    log_p: Array
    """(n, K) log p(x_i | x_S)"""
    log_h: Array
    """(n, K) log W(x_S, x_i)"""


@register_dataclass
@dataclass(frozen=True)
class Adapted(Kernel):
    """Reveal the next site by p(x_i | x_S) W(x_S, x_i), weighted by the sum of that over W(x_S).

    One network call, and one of the potential for each class. Where W is zero for all classes the weight is zero and
    the value is drawn from p.
    """

    kernel: Reveal
    log_potential: Any

    def look(self, keys: Array, p: Tilted, u: tuple[Array, Array]) -> tuple[Ahead, Array]:
        """Weigh all values of the next site."""
        setting, (_, there) = self.kernel.setting, self.kernel.sites(p.p, u)
        t = setting.time(p.p.x, u[1])

        def at(k: Array) -> Array:
            value = jnp.full_like(there, k, dtype=jnp.int32)
            return self.log_potential(self.kernel.write(p.p, value, u), t, setting.cond)

        log_p = self.kernel.log_law(p.p, u)[:, 0]
        # a class that the model excludes counts nothing, whatever is said of it
        log_h = jax.vmap(at, out_axes=1)(jnp.arange(setting.classes, dtype=jnp.int32))
        total = jax.nn.logsumexp(_product(log_p, log_h), axis=1)
        dead = p.log_h == -jnp.inf
        log_e = jnp.where(dead, -jnp.inf, total - jnp.where(dead, 0.0, p.log_h))
        return Ahead(p, log_p, log_h), jnp.where(there[:, 0], log_e, 0.0)

    def log_proposal(self, ahead: Ahead) -> Array:
        """log of the law from which the next site is drawn, (n, K), normalised."""
        both = _product(ahead.log_p, ahead.log_h)
        nothing = (both == -jnp.inf).all(1, keepdims=True)
        return jax.nn.log_softmax(jnp.where(nothing, ahead.log_p, both))

    def move(self, keys: Array, p: Ahead, u: tuple[Array, Array]) -> Tilted:
        """Draw the value, call the denoiser where it leads."""
        value = categorical(keys, self.log_proposal(p)[:, None])
        log_h = jnp.take_along_axis(p.log_h, value, 1)[:, 0]
        _, there = self.kernel.sites(p.p.p, u)
        p1 = self.kernel.arrive(p.p.p, self.kernel.write(p.p.p, value, u), u)
        return Tilted(p1, jnp.where(there[:, 0], log_h, p.p.log_h))


def _product(log_p: Array, log_h: Array) -> Array:
    return jnp.where(log_p == -jnp.inf, -jnp.inf, log_p + log_h)


RESAMPLE = Resample(threshold=0.7, decide_by="before")


@register_dataclass
@dataclass(frozen=True)
class BSDG:
    """Bootstrap: moves of the model, weights W(x_S) / W(x_S before). Of one particle it is plain sampling.

    Args:
        particles: particles in a group.
        resampler: see `genkit.chain.Resampler`.
        order: "particle": each has an order of its own, and the law tends to p(x) W(x) / Z whatever the model.
            "group": one for the group; biased where conditionals of different orders contradict one another, as the
            normalising constant then depends on the order.
    """

    particles: int = field(default=10, metadata={"static": True})
    resampler: Any = RESAMPLE
    order: Literal["particle", "group"] = field(default="particle", metadata={"static": True})

    def __post_init__(self):
        """Check the fields."""
        if self.particles < 1:
            raise UsageError(f"particles={self.particles} is too few; expected at least 1")
        if self.order not in ("particle", "group"):
            raise UsageError(f"order={self.order!r}; expected 'particle' or 'group'")

    def model(self, chain: Model, says: Any) -> Model:
        """The chain of any sampler, discrete or Gaussian, under what is said of its states."""
        return tilted(chain, said(chain, says))


@register_dataclass
@dataclass(frozen=True)
class FADG(BSDG):
    """Fully adapted: particles are resampled by what all values of the next site weigh, then choose among these.

    Fields are those of `BSDG`. Costs a call of the potential for each class. Of one particle it is `ARDG`.
    """

    def model(self, chain: Model, says: Any) -> Model:
        """The chain of `OrderAgnostic`, one site a step, under what is said of its states."""
        h = callable_tree(says)
        stages = []
        for kernel, u in chain.stages:
            if not isinstance(kernel, Reveal) or kernel.width > 1:
                raise UsageError("FADG and ARDG weigh all values of one site: give them OrderAgnostic with no budget")
            stages.append((Adapted(kernel, h), u))
        begin = jax.tree_util.Partial(_weightless, callable_tree(chain.init))
        return shown(replace(chain, init=begin, stages=tuple(stages)))


@register_dataclass
@dataclass(frozen=True)
class ARDG(FADG):
    """Autoregressive discriminator guidance: each value by p(x_i | x_S) W(x_S, x_i), and no weights.

    Exact for the best discriminator of a model whose conditionals agree; else it may be worse than no guidance.
    """

    particles: int = field(default=1, metadata={"static": True})

    def __post_init__(self):
        """Check the fields."""
        if self.particles != 1:
            raise UsageError(f"particles={self.particles} in ARDG, which has one a sample; use FADG")


def _weightless(init: Any, keys: Array) -> tuple[Tilted, None]:
    p, _ = init(keys)
    return Tilted(p, jnp.zeros(keys.shape[0], float)), None
