"""Weights of states on the way to data: sums of log-potentials, and how a discriminator is trained to be one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from genkit.chain import callable_tree
from genkit.discrete import ANY_ORDER, Orders, PyTree, ranks, stratified, times
from genkit.tree import register_dataclass

Array = jax.Array


class LogPotential(Protocol):
    """log of a weight at a state on the way to data.

    Partly revealed: x (n, *sites) int, K where hidden; t (n,) the hidden fraction. Noisy: x_t of a discrete diffusion,
    or its parts, and t its time; 0 is data. Parameters are leaves of a pytree, as in a `Denoiser`. -inf says that
    nothing possible can come of x.
    """

    def __call__(self, x: PyTree, t: Array, cond: Any = None) -> Array:
        """Return (n,) float."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Potential:
    """A weighted sum of log-potentials: of a discriminator and of classifiers, say.

    Args:
        terms: the log-potentials.
        weights: one number each; log W(x) + strength log p(c | x) has the weights (1, strength). A term of weight 0 is
            not computed.
        ramp: multiply by 1 - t, t the hidden fraction, which leaves the last potential as it is.
        hidden: no guidance while t, the hidden fraction or the time of the noise, is larger.
    """

    terms: tuple[Any, ...]
    weights: Any
    ramp: bool = field(default=False, metadata={"static": True})
    hidden: Any = float("inf")

    def __post_init__(self):
        """Terms may be plain functions."""
        object.__setattr__(self, "terms", tuple(callable_tree(f) for f in self.terms))

    def __call__(self, x: PyTree, t: Array, cond: Any = None) -> Array:
        """(n,)."""
        n = len(jax.tree.leaves(x)[0])
        t, total = jnp.broadcast_to(t, n), jnp.zeros(n)
        for f, w in zip(self.terms, self.weights, strict=True):
            total = total + self._weighed(f, w, x, t, cond)
        total = times(total, 1 - t) if self.ramp else total
        return jnp.where(t <= self.hidden, total, 0.0)

    @staticmethod
    def _weighed(f: Any, w: Any, x: PyTree, t: Array, cond: Any) -> Array:
        """w f, where f is not called for w = 0: one program serves all weights."""
        none = jnp.zeros(t.shape)
        return jax.lax.cond(jnp.asarray(w) == 0, lambda: none, lambda: times(f(x, t, cond), w).astype(none.dtype))


def discriminator_loss(
    key: Array,
    log_odds: LogPotential,
    real: Array,
    generated: Array,
    classes: int,
    cond: Any = None,
    mask: Array | None = None,
    orders: Orders = ANY_ORDER,
) -> Array:
    """Mean cross-entropy of telling data from samples of the model at partial states of the same law; a scalar.

    The number of revealed sites is uniform on 1..D, stratified over the batch. At its least, log_odds is
    log q(x_S) - log p(x_S) and the loss at most log 2.

    Args:
        key: for what is hidden.
        log_odds: the discriminator.
        real: data (n, ...), int.
        generated: samples (n, ...) of the model with the same orders.
        classes: K, the mask symbol.
        cond: leaves (n, ...), the same for both, or None.
        mask: bool, broadcasts with real: the sites that are real.
        orders: law of the order.
    """
    one, other = jax.random.split(key)
    data = classifier_loss(one, log_odds, real, jnp.ones(len(real)), classes, cond, mask, orders)
    model = classifier_loss(other, log_odds, generated, jnp.zeros(len(real)), classes, cond, mask, orders)
    return (data + model) / 2


def classifier_loss(
    key: Array,
    log_odds: LogPotential,
    x: Array,
    label: Array,
    classes: int,
    cond: Any = None,
    mask: Array | None = None,
    orders: Orders = ANY_ORDER,
) -> Array:
    """Mean cross-entropy of a yes-no property at partial states, whose least is at log-odds of p(yes | x_S); a scalar.

    Args:
        key: for what is hidden, as in `discriminator_loss`.
        log_odds: the classifier.
        x: data (n, ...), int.
        label: (n,) 1 for yes, 0 for no.
        classes: K, the mask symbol.
        cond: leaves (n, ...), or None.
        mask: bool, broadcasts with x: the sites that are real.
        orders: law of the order.
    """
    k_number, k_place = jax.random.split(key)
    real = jnp.broadcast_to(True if mask is None else mask, x.shape).reshape(len(x), -1)
    d = real.sum(1)
    shown = jnp.minimum(jnp.floor(stratified(k_number, len(x)) * d) + 1, d)
    rank = ranks(k_place, x, mask, orders)
    hidden = ((rank >= shown[:, None]) & real).reshape(x.shape)
    logit = log_odds(jnp.where(hidden, classes, x), (d - shown) / jnp.maximum(d, 1), cond)
    return _cross_entropy(logit, label)


def noisy_classifier_loss(
    key: Array,
    log_odds: LogPotential,
    x: PyTree,
    label: Array,
    process: PyTree,
    cond: Any = None,
    mask: PyTree = None,
) -> Array:
    """Mean cross-entropy of a yes-no property at states of a discrete diffusion on its way to data; a scalar.

    Times are uniform on all of the chain, data included, and stratified over the batch. At its least, log_odds is that
    of p(yes | x_t); with data as yes and as many samples of a model as no, log q_t(x_t) - log p_t(x_t) of their laws
    after noise: the discriminator of Kim et al. 2023 (arXiv 2211.17091) for categories.

    Args:
        key: for times and noise.
        log_odds: the classifier; gets t as a float, (n,).
        x: data (n, ...), int; or parts.
        label: (n,) 1 for yes, 0 for no.
        process: a `genkit.discrete.Process` in discrete time, or one a part.
        cond: leaves (n, ...), or None.
        mask: bool, broadcasts with x (by part): the sites that are real; others come as 0.
    """
    leaves, tree = jax.tree.flatten(x)
    parts = tree.flatten_up_to(process)
    shown = [jnp.array(True)] * len(leaves) if mask is None else tree.flatten_up_to(mask)
    k_time, *keys = jax.random.split(key, 1 + len(leaves))
    grid = jnp.asarray(parts[0].grid(None), float)
    t = grid[jnp.floor(stratified(k_time, len(label)) * len(grid)).astype(int)]
    noisy = [jnp.where(real, p.perturb(k, a, t), 0) for p, k, a, real in zip(parts, keys, leaves, shown, strict=True)]
    return _cross_entropy(log_odds(tree.unflatten(noisy), t, cond), label)


def _cross_entropy(logit: Array, label: Array) -> Array:
    return jax.nn.softplus(jnp.where(label > 0.5, -logit, logit)).mean()
