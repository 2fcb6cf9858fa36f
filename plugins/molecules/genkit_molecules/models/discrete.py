"""Which discrete model: how it is trained and sampled. Each is a configuration of parts of `genkit.discrete`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import (
    ANY_ORDER,
    LEARNED_ORDER,
    Ancestral,
    Euler,
    FlowMatching,
    Linear,
    OrderAgnostic,
    Orders,
    Process,
    Remasking,
    absorbing,
    cosine_steps,
    d3pm_loss,
    learned_order_loss,
    marginal,
    masked,
    masked_loss,
    order_agnostic_loss,
    parallel_budget,
    steps,
    stratified,
    uniform,
)
from genkit.errors import UsageError
from genkit_molecules.items import Space
from genkit_molecules.models.blosum import blosum

Array = jax.Array
Name = Literal["ardm", "masked", "euler", "flow", "remasked", "uniform", "marginal", "absorbing", "blosum"]
DISCRETE = ("uniform", "marginal", "absorbing", "blosum")


@dataclass(frozen=True)
class Discrete:
    """A model of items with discrete sites.

    ardm: order-agnostic autoregression. masked, euler, flow, remasked: masked diffusion in continuous time, sampled by
    its posterior, by its rates, by rates or by a posterior that hide sites again. uniform, marginal, absorbing, blosum:
    D3PM with this noise (the absorbing class is the first: no bond, or the first letter).
    """

    name: Name = "ardm"
    orders: Orders = ANY_ORDER
    steps: int = 100
    """steps of diffusion; ardm takes one for each site"""
    eta: float = 0.0
    """rate at which flow hides sites again, or largest probability of remasked in a step"""
    likelihood: bool = True
    """of D3PM: see `genkit.discrete.Process.likelihood`; networks of DiGress tell p(x_0 | x_t) without its help"""

    def __post_init__(self) -> None:
        """Refuse a rate or probability that is none; a sampler would do so after the training."""
        if self.eta < 0 or (self.name == "remasked" and self.eta > 1):
            raise UsageError(f"eta={self.eta:g}; expected a probability from 0 to 1 of remasked, of flow a rate from 0")

    @property
    def ordered(self) -> bool:
        """Whether sites are revealed in an order, one or a few at a time; of all else all move at once."""
        return self.name == "ardm"

    @property
    def unit(self) -> float:
        """What is one for the network's time."""
        return 1 / self.steps if self.name in DISCRETE else 1.0

    def process(self, space: Space) -> Process:
        """How data are noised."""
        if self.name not in DISCRETE:
            return masked(space.classes, Linear(), space.allowed)
        if self.name == "blosum":
            return blosum(space.weights, self.steps, self.likelihood)
        schedule = steps(cosine_steps(self.steps, 2.0, 0.9999))
        if self.name == "absorbing":
            return absorbing(space.classes, 0, schedule, space.allowed, self.likelihood)
        if self.name == "uniform":
            return uniform(space.classes, schedule, space.allowed, self.likelihood)
        return marginal(space.weights, schedule, space.allowed, self.likelihood)

    def loss(self, key: Array, denoiser: Any, x: Array, cond: Any, mask: Array | None, space: Space) -> Array:
        """A bound on -log p(x) in nats an item, a mean over the batch; of D3PM see `genkit.discrete.d3pm_loss`."""
        if self.orders == LEARNED_ORDER:
            return learned_order_loss(key, denoiser, x, cond, space.classes, mask, space.allowed)
        if self.ordered:
            return order_agnostic_loss(key, denoiser, x, cond, space.classes, mask, space.allowed, self.orders)
        if self.name in DISCRETE:
            return d3pm_loss(key, denoiser, x, cond, self.process(space), mask)
        return masked_loss(key, denoiser, x, cond, masked(space.classes, Linear(), space.allowed), mask)

    def sampler(self, space: Space, budget: tuple[int, ...] | None = None, confident: bool = False) -> Any:
        """Its sampler; of ardm that which reveals the surest site next, if so asked."""
        if confident and (not self.ordered or self.orders != ANY_ORDER):
            raise UsageError("the surest site first needs a model with random orders: ardm with order=uniform")
        if self.ordered:
            return OrderAgnostic(space.classes, budget, space.allowed, self.orders, confident)
        process = self.process(space)
        if self.name == "flow":
            return FlowMatching(process, steps=self.steps, eta=self.eta)
        if self.name == "remasked":
            return Remasking(process, steps=self.steps, eta=self.eta)
        return (Euler if self.name == "euler" else Ancestral)(process, steps=self.steps)


def site_costs(key: Array, denoiser: Any, x: Array, cond: Any, space: Space, orders: Orders = ANY_ORDER) -> np.ndarray:
    """L_s (D,), mean -log p of a site given s visible ones, for items with all sites real: for `parallel_budget`."""

    @jax.jit
    def at(key: Array, shown: Array) -> Array:
        order = jax.vmap(orders.draw)(jax.random.split(key, len(x)), jnp.ones(x.shape, bool))
        hidden = jnp.argsort(order, axis=1) >= shown
        t = jnp.full(len(x), (x.shape[1] - shown) / x.shape[1])
        logits = denoiser(jnp.where(hidden, space.classes, x), t, cond)
        if space.allowed is not None:
            logits = jnp.where(jnp.asarray(space.allowed), logits, -jnp.inf)
        nll = -jnp.take_along_axis(jax.nn.log_softmax(logits), x[..., None], -1)[..., 0]
        return jnp.where(hidden, nll, 0).sum() / hidden.sum()

    keys = jax.random.split(key, x.shape[1])
    return np.array([at(k, jnp.float32(s)) for s, k in enumerate(keys)])


def in_parallel(cost: np.ndarray, calls: int) -> tuple[int, ...]:
    """The best budget of so many network calls, for costs that are noisy: made to decrease first."""
    return parallel_budget(np.minimum.accumulate(cost), calls)


def cross_entropy(
    key: Array,
    denoiser: Callable[..., Array],
    x: Array,
    cond: Any,
    process: Process,
    length: int,
    parts: tuple[tuple[Array, float], ...],
) -> Array:
    """Mean over items of the sums, over the sites of each part, of weight times -log p(x_0 | x_t): the loss of DiGress.

    Vignac et al. 2023 (arXiv 2209.14734) divide the sums of a batch by its sites. Weights that are divided by the mean
    number of sites of an item do so on average, and let every site count alike, whatever the sizes in a batch.

    Args:
        key: for times and noise.
        denoiser: logits (n, D, K).
        x: data (n, D).
        cond: what the denoiser is conditioned on.
        process: a process of `length` steps, made with likelihood=False.
        length: T; t is uniform on 1..T and stratified over the batch.
        parts: (sites (n, D) bool, weight).
    """
    k_time, k_noise = jax.random.split(key)
    t = jnp.floor(stratified(k_time, len(x)) * length) + 1
    noisy = process.perturb(k_noise, x, t)
    logits = denoiser(noisy, t, cond)
    if process.classes is not None:
        logits = jnp.where(jnp.asarray(process.classes), logits, -jnp.inf)
    some = parts[0][0]
    for sites, _ in parts[1:]:
        some = some | sites
    logits = jnp.where(some[..., None], logits, 0.0)
    nll = -jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.where(some, x, 0)[..., None], -1)[..., 0]
    return jnp.stack([w * jnp.where(s, nll, 0).sum() / len(x) for s, w in parts]).sum()
