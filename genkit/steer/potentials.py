"""Potentials steer a chain: how they are made of what is said of states, and how a discriminator learns to say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, Tilted, callable_tree, tilt
from genkit.discrete import ANY_ORDER, Orders, PyTree, ranks, stratified, times
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


class Potential(Protocol):
    """log of what a step weighs, or of a tilt (`genkit.chain.tilt`): one signature for any chain, a pytree.

    `p` are the particles that arrived by a step of inputs `u`.
    """

    def __call__(self, p: Any, u: Any) -> Array:
        """Return (n,) float."""
        ...


class StateFunction(Protocol):
    """log of a weight at a state on the way to data, as a classifier, a discriminator or a reward says it.

    Noisy: x_t of a diffusion, Gaussian or discrete, or its parts, and t its time; 0 is data. Partly revealed: x (n,
    *sites) int, K where hidden; t (n,) the hidden fraction. Parameters are leaves of a pytree, as in a `Denoiser`.
    -inf says that nothing possible can come of x.
    """

    def __call__(self, x: PyTree, t: Array, cond: Any = None) -> Array:
        """Return (n,) float."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Said:
    """The potential of a state function on the steps of a kernel: told the state and time at which particles arrive."""

    kernel: Any
    says: Any

    def __call__(self, p: Any, u: Any) -> Array:
        """(n,)."""
        x, t, cond = self.kernel.where(p, u)
        return self.says(x, jnp.broadcast_to(t, len(jax.tree.leaves(x)[0])), cond)


def said(chain: Model, says: StateFunction) -> tuple[Potential, ...]:
    """A state function as a potential, one for each stage of a chain (`genkit.chain.tilt`)."""
    says = callable_tree(says)
    for kernel, _ in chain.stages:
        if kernel.where is None:
            raise UsageError(
                f"{type(kernel).__name__} does not say where it arrives; give it where(p, u) -> (x, t, cond)"
            )
    return tuple(Said(kernel, says) for kernel, _ in chain.stages)


@register_dataclass
@dataclass(frozen=True)
class Show(Kernel):
    """The end of a tilted chain: states, without what particles carry."""

    def move(self, keys: Array, p: Tilted, u: Any) -> PyTree:
        """x."""
        return p.p.x


def shown(chain: Model) -> Model:
    """A chain of `Tilted` particles that ends in their states."""
    return replace(chain, stages=(*chain.stages, (Show(), np.zeros(1))))


def tilted(chain: Model, potential: Any) -> Model:
    """The chain under a potential, or one a stage, from noise to states (`genkit.chain.tilt`)."""
    return shown(tilt(chain, potential))


@register_dataclass
@dataclass(frozen=True)
class WeightedSum:
    """A weighted sum of potentials, or of state functions: of a discriminator and of classifiers, say.

    Args:
        terms: all of one signature.
        weights: one number each; log W(x) + strength log p(c | x) has the weights (1, strength). A term of weight 0 is
            not computed.
    """

    terms: tuple[Any, ...]
    weights: Any

    def __post_init__(self):
        """Terms may be plain functions."""
        object.__setattr__(self, "terms", tuple(callable_tree(f) for f in self.terms))

    def __call__(self, *at: Any) -> Array:
        """(n,)."""
        total = jnp.zeros(len(jax.tree.leaves(at[0])[0]))
        for f, w in zip(self.terms, self.weights, strict=True):
            total = total + self._weighed(f, w, total, at)
        return total

    @staticmethod
    def _weighed(f: Any, w: Any, none: Array, at: tuple[Any, ...]) -> Array:
        """w f, where f is not called for w = 0: one program serves all weights."""
        none = jnp.zeros_like(none)
        return jax.lax.cond(jnp.asarray(w) == 0, lambda: none, lambda: times(f(*at), w).astype(none.dtype))


def discriminator_loss(
    key: Array,
    log_odds: StateFunction,
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
    model = classifier_loss(other, log_odds, generated, jnp.zeros(len(generated)), classes, cond, mask, orders)
    return (data + model) / 2


def classifier_loss(
    key: Array,
    log_odds: StateFunction,
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
    log_odds: StateFunction,
    x: PyTree,
    label: Array,
    process: PyTree,
    cond: Any = None,
    mask: PyTree = None,
    steps: int | None = None,
) -> Array:
    """Mean cross-entropy of a yes-no property at states of a discrete diffusion on its way to data; a scalar.

    Times are uniform on a sampler's, data included, and stratified over the batch. At its least, log_odds is that
    of p(yes | x_t); with data as yes and as many samples of a model as no, log q_t(x_t) - log p_t(x_t) of their laws
    after noise: the discriminator of Kim et al. 2023 (arXiv 2211.17091) for categories.

    Args:
        key: for times and noise.
        log_odds: the classifier; gets t as a float, (n,).
        x: data (n, ...), int; or parts.
        label: (n,) 1 for yes, 0 for no.
        process: a `genkit.discrete.Process`, or one a part.
        cond: leaves (n, ...), or None.
        mask: bool, broadcasts with x (by part): the sites that are real; others come as 0.
        steps: of the sampler; None is all of a chain in discrete time.
    """
    leaves, tree = jax.tree.flatten(x)
    parts = tree.flatten_up_to(process)
    shown = [jnp.array(True)] * len(leaves) if mask is None else tree.flatten_up_to(mask)
    k_time, *keys = jax.random.split(key, 1 + len(leaves))
    grid = jnp.asarray(parts[0].grid(steps), float)
    t = grid[jnp.floor(stratified(k_time, len(label)) * len(grid)).astype(int)]
    noisy = [jnp.where(real, p.perturb(k, a, t), 0) for p, k, a, real in zip(parts, keys, leaves, shown, strict=True)]
    return _cross_entropy(log_odds(tree.unflatten(noisy), t, cond), label)


def _cross_entropy(logit: Array, label: Array) -> Array:
    return jax.nn.softplus(jnp.where(label > 0.5, -logit, logit)).mean()
