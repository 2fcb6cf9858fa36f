"""Guidance for categories: maps from denoiser to denoiser, which compose.

A guided denoiser answers with a `Product`, by which the kernels multiply their laws: probabilities in `Ancestral`
(D-CFG and D-CBG of Schiff et al. 2024, arXiv 2412.10193), rates in `Euler`, `TauLeaping` and `FlowMatching` (Nisonoff
et al. 2024, arXiv 2406.01572). A strength other than 1 does not sample p(x) p(c | x)^strength / Z: to reach that, the
moves must be weighted, for which particles carry all that is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.chain import callable_tree
from genkit.discrete.factorised import Denoiser, PyTree
from genkit.discrete.process import Process, one_of
from genkit.discrete.product import CLIP, Product, as_product, combine, multiply, power
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Guided:
    """A denoiser under guidance."""

    guidance: "ClassifierFree | Predictor"
    denoiser: Denoiser

    def __call__(self, x: PyTree, t: Array, cond: Any = None) -> Any:
        """The guided answer."""
        return self.guidance.answer(self.denoiser, x, t, cond)


@register_dataclass
@dataclass(frozen=True)
class ClassifierFree:
    """r(. | cond)^strength r(. | null)^(1 - strength): strength 1 is the conditional, 0 the unconditional model.

    One call of the network, on a batch of twice the size.

    Args:
        null: the condition that says nothing, like cond; leaves broadcast.
        strength: the power.
        of: what is multiplied: the "kernel" (or the rates), or the laws of "x0", which for masks leaves alone when a
            site shows.
    """

    null: Any
    strength: Any = 1.0
    of: Literal["kernel", "x0"] = field(default="kernel", metadata={"static": True})

    def __post_init__(self):
        """Check the fields."""
        if self.of not in ("kernel", "x0"):
            raise UsageError(f"of={self.of!r} in ClassifierFree; expected 'kernel' or 'x0'")

    def __call__(self, denoiser: Denoiser) -> Guided:
        """The guided denoiser."""
        return Guided(self, callable_tree(denoiser))

    def answer(self, denoiser: Denoiser, x: PyTree, t: Array, cond: Any) -> Any:
        """Call the denoiser with both conditions."""
        n = jax.tree.leaves(x)[0].shape[0]
        null = jax.tree.map(lambda c, o: jnp.broadcast_to(jnp.asarray(o, c.dtype), c.shape), cond, self.null)
        twice = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (x, cond), (x, null))
        both = as_product(denoiser(twice[0], t if jnp.ndim(t) == 0 else jnp.concatenate([t, t]), twice[1]))
        with_cond, without = (jax.tree.map(lambda a, part=part: a[part], both) for part in (slice(n), slice(n, None)))
        if self.of == "kernel":
            return multiply(power(with_cond, self.strength), power(without, 1 - self.strength))
        if len(both.experts) > 1 or both.tilt is not None:
            raise UsageError("ClassifierFree(of='x0') needs a denoiser without other guidance; put it innermost")
        log_p = [replace(a, experts=jax.tree.map(jax.nn.log_softmax, a.experts)) for a in (with_cond, without)]
        return combine(multiply(power(log_p[0], self.strength), power(log_p[1], 1 - self.strength)))


@register_dataclass
@dataclass(frozen=True)
class Predictor:
    """A move from x to y, which differ in one site, times (p(c | y, t) / p(c | x, t))^strength.

    In the limit of small steps exact at strength 1, if p(c | x_t) is. Ratios are cut at e^80. At a state with
    p(c | x) = 0 nothing is known and the moves to others of that kind are as without guidance.

    Args:
        log_prob: (one-hot x (n, ..., S) float, t, cond) -> log p(c | x_t) (n,), trained on noisy x; by part if x is.
        process: that of the sampler.
        strength: the power.
        first_order: ratios by a first-order Taylor expansion in the one-hot x, one call and its gradient, in place of
            the exact ones, one call for every site and state.
    """

    log_prob: Callable[[PyTree, Array, Any], Array]
    process: PyTree
    strength: Any = 1.0
    first_order: bool = field(default=False, metadata={"static": True})

    def __call__(self, denoiser: Denoiser) -> Guided:
        """The guided denoiser."""
        return Guided(replace(self, log_prob=callable_tree(self.log_prob)), callable_tree(denoiser))

    def answer(self, denoiser: Denoiser, x: PyTree, t: Array, cond: Any) -> Product:
        """Call the denoiser, and the predictor for all neighbours of x."""

        def one_hot(x):
            return jax.tree.map(lambda x, p: one_of(x, p.states).astype(float), x, self.process)

        if self.first_order:
            table = jax.grad(lambda hot: self.log_prob(hot, t, cond).sum())(one_hot(x))
        else:
            leaves, tree = jax.tree.flatten(x)
            tables = []
            for i, (leaf, p) in enumerate(zip(leaves, tree.flatten_up_to(self.process), strict=True)):

                def log_prob(leaf, i=i):
                    return self.log_prob(one_hot(tree.unflatten([*leaves[:i], leaf, *leaves[i + 1 :]])), t, cond)

                tables.append(_neighbours(log_prob, leaf, p))
            table = tree.unflatten(tables)
        tilt = jax.tree.map(_ratio, table, x)
        return multiply(as_product(denoiser(x, t, cond)), power(Product((), (), tilt), self.strength))


def _neighbours(log_prob: Callable[[Array], Array], x: Array, process: Process) -> Array:
    """log_prob (n,) at all states that differ from x in one site, (n, ..., S)."""
    n, *sites = x.shape
    flat = x.reshape(n, -1)

    states = jnp.arange(process.states, dtype=x.dtype)

    def at(site):
        return jax.vmap(lambda k: log_prob(flat.at[:, site].set(k).reshape(x.shape)))(states)

    table = jax.lax.map(at, jnp.arange(prod(sites)))
    return jnp.moveaxis(table, 2, 0).reshape(n, *sites, process.states)


def _ratio(table: Array, x: Array) -> Array:
    """Differences to the state where it is, which is 0 there."""
    here = jnp.take_along_axis(table, x[..., None], -1)
    return jnp.where(table == here, 0.0, jnp.minimum(table - here, CLIP))
