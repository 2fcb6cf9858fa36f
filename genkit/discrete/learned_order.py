"""Autoregression whose order is learned with it: LO-ARM.

Wang, Shi, Heess, Gretton and Titsias 2025 (arXiv 2503.05979), in its notation: z_1, z_2, ... are the sites in the order
in which they are revealed, and the model is

    p(x, z) = prod_i p(z_i | z_<i, x_{z_<i}) p(x_{z_i} | x_{z_<i})

with the order-policy p(z_i | .), a softmax over the hidden sites. The posterior q(z | x) = prod_i q(z_i | z_<i, x) has
logits that depend on x alone (Plackett-Luce), so z_<i is drawn at once, by the largest of logits with Gumbel noise.
`OrderAgnostic(classes, orders=LEARNED_ORDER)` samples.
"""

from typing import Any

import jax
import jax.numpy as jnp

from genkit.discrete.factorised import Denoiser
from genkit.discrete.masked import log_p_at
from genkit.discrete.orders import ordered
from genkit.discrete.random import stratified

Array = jax.Array
NEVER = -1e9  # logit of a site that cannot be chosen
LEAST = -1e6  # of one that can: -inf would make differences of infinities


def learned_order_loss(
    key: Array, denoiser: Denoiser, x0: Array, cond: Any, classes: int, mask: Array | None = None, allowed: Any = None
) -> Array:
    """Bound on -log p(x_0) in nats an item, a mean over the batch, whose gradient is that of LO-ARM.

    log p(x) >= sum_i E_q(z_<i | x) F(z_<i, x), where

        F = sum over hidden k of q(k | z_<i, x) [log p(k | x_{z_<i}) + log p(x_k | x_{z_<i}) - log q(k | z_<i, x)].

    One i is drawn, uniform and stratified over the batch, and z_<i twice. With a uniform policy and posterior it is the
    bound of `order_agnostic_loss` with uniform orders.

    Args:
        key: for numbers of revealed sites and for orders.
        denoiser: answers with `Ordered`; called once on x0, at t = 0, and once on two partly hidden copies of it.
        x0: data (n, ...), int.
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        classes: K.
        mask: bool, broadcasts with x0: the sites that are real.
        allowed: (..., K) bool, the classes of each site, where they differ.
    """
    n = len(x0)
    k_number, k_order = jax.random.split(key)
    real = jnp.broadcast_to(True if mask is None else mask, x0.shape)
    d = real.reshape(n, -1).sum(1)
    shown = jnp.minimum(jnp.floor(stratified(k_number, n) * d), d - 1)
    posterior = ordered(denoiser(x0, jnp.zeros(n), cond), x0).posterior
    log_q = jnp.where(real, jnp.maximum(posterior, LEAST), NEVER).reshape(n, -1)
    noise = jax.random.gumbel(k_order, (2, *log_q.shape))
    orders = jnp.argsort(-(jax.lax.stop_gradient(log_q) + noise))
    return -bound_of_two(denoiser, x0, cond, classes, real, allowed, log_q, orders, shown).mean()


def bound_of_two(
    denoiser: Denoiser,
    x0: Array,
    cond: Any,
    classes: int,
    real: Array,
    allowed: Any,
    log_q: Array,
    orders: Array,
    shown: Array,
) -> Array:
    """D (F(z^1) + F(z^2)) / 2, (n,), of two orders (2, n, D) after so many revealed sites (n,).

    Its gradient is that of the bound where the orders are drawn by the posterior, logits log_q (n, D): F's own, and
    (F(z^1) - F(z^2)) (grad log q(z^1_<i) - grad log q(z^2_<i)) / 2, each draw being the baseline of the other.
    """
    n, d = len(x0), real.reshape(len(x0), -1).sum(1)
    twice = jnp.tile(x0, (2,) + (1,) * (x0.ndim - 1))
    place = jnp.argsort(orders).reshape(2 * n, -1)
    both, visible = jnp.tile(real.reshape(n, -1), (2, 1)), jnp.tile(shown, 2)
    hidden = ((place >= visible[:, None]) & both).reshape(twice.shape)
    t = jnp.tile((d - shown) / jnp.maximum(d, 1), 2)
    said = denoiser(jnp.where(hidden, classes, twice), t, jax.tree.map(lambda a: jnp.concatenate([a, a]), cond))
    said = ordered(said, twice)
    log_p = log_p_at(said.logits, twice, hidden, classes, allowed).reshape(2 * n, -1)
    hidden = hidden.reshape(2 * n, -1)
    policy, posterior = (
        jax.nn.log_softmax(jnp.where(hidden, jnp.maximum(logits.reshape(2 * n, -1), LEAST), NEVER))
        for logits in (said.policy, jnp.tile(log_q, (2, 1)))
    )
    terms = jnp.where(hidden, jnp.exp(posterior) * (log_p + policy - posterior), 0.0)
    first, second = terms.sum(1).reshape(2, n)
    # log q(z_<i | x): each site that is visible among those that were still hidden when it came
    in_order = jnp.take_along_axis(jnp.broadcast_to(log_q, orders.shape), orders, 2)
    step = in_order - jax.lax.cumlogsumexp(in_order, 2, reverse=True)
    log_first, log_second = jnp.where(jnp.arange(orders.shape[2]) < shown[:, None], step, 0.0).sum(2)
    score = jax.lax.stop_gradient(first - second) * (log_first - log_second)
    return d / 2 * (first + second + score - jax.lax.stop_gradient(score))
