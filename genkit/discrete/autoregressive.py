"""Order-agnostic autoregressive diffusion: sites are revealed in a random order, one or a few at a time.

Hoogeboom et al. 2022, ARDM (arXiv 2110.02037). A hidden site holds the mask symbol K; the denoiser is that of masked
diffusion (logits (n, ..., K)), and its time is the fraction of sites that are hidden, so that one network serves both.
"""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.discrete.factorised import Denoiser
from genkit.discrete.masked import hidden_nll
from genkit.discrete.orders import ANY_ORDER, LEARNED_ORDER, Orders, ordered
from genkit.discrete.process import checked, only
from genkit.discrete.random import categorical, stratified
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class OrderedParticle:
    """A partly revealed state, what the denoiser said there, and the order in which sites are revealed.

    Leaves (n, ...). The order belongs to the particle, so that resampling copies it: with an order of its own for
    each particle and the same law of orders in the target, SMC is exact also where the conditionals p(x_i | x_S) of
    different orders contradict one another, as those of networks do.
    """

    x: Array
    """(n, *sites) int32, K where hidden."""
    logits: Array
    """(n, *sites, K) log p(x_i | x_S), normalised."""
    order: Array
    """(n, D) int32, places of the flattened sites; those that are not real come last."""
    noise: Array | None = None
    """(n,) keys of the choices of a learned order, which belong to the particle as its order does."""


@register_dataclass
@dataclass(frozen=True)
class OrderedSetting:
    """What the kernels of this chain share."""

    denoiser: Denoiser
    cond: Any
    mask: Any
    """Bool, broadcasts with x: which sites are real."""
    allowed: Any
    """(..., K) bool, the classes of each site, or None."""
    classes: int = field(metadata={"static": True})
    confident: bool = field(default=False, metadata={"static": True})
    """Whether hidden sites are put into the order of their largest probability, the surest one next."""
    learned: bool = field(default=False, metadata={"static": True})
    """Whether the next site is drawn from what the denoiser says of it."""

    def arrive(self, x: Array, order: Array, revealed: Array, noise: Any = None) -> OrderedParticle:
        """Call the denoiser after so many sites were revealed."""
        raw: Any = self.denoiser(x, self.time(x, revealed), self.cond)
        raw, policy = ordered(raw, x)[:2] if self.learned else (raw, None)
        logits = only(checked(raw, x, self.classes), self.allowed)
        log_p = jax.nn.log_softmax(jnp.where(self.mask[..., None], logits, 0.0))
        if self.confident:
            order = self.sooner(x, log_p.max(-1), order, revealed)
        elif policy is not None:  # the largest of logits with Gumbel noise is a draw
            keys = jax.vmap(jax.random.fold_in, (0, None))(noise, revealed)
            gumbel = jax.vmap(lambda key: jax.random.gumbel(key, x.shape[1:]))(keys)
            order = self.sooner(x, policy + gumbel, order, revealed)
        return OrderedParticle(x, log_p, order, noise)

    def sooner(self, x: Array, by: Array, order: Array, revealed: Array) -> Array:
        """The order with its hidden sites by a number (n, *sites), the largest next; equal ones stay as they are."""
        by = jnp.take_along_axis(by.reshape(len(x), -1), order, 1)
        place = jnp.arange(order.shape[1])
        key = jnp.where(place < self.count(x)[:, None], -by, jnp.inf)
        return jnp.take_along_axis(order, jnp.argsort(jnp.where(place < revealed, -jnp.inf, key), stable=True), 1)

    def time(self, x: Array, revealed: Array) -> Array:
        """The fraction that is hidden after so many sites were revealed, (n,)."""
        real = self.count(x)
        return jnp.maximum(real - revealed, 0) / jnp.maximum(real, 1)

    def count(self, x: Array) -> Array:
        """Real sites of each item, (n,)."""
        return jnp.broadcast_to(self.mask, x.shape).reshape(len(x), -1).sum(1)


@register_dataclass
@dataclass(frozen=True)
class BeginHidden:
    """All real sites hidden, an order drawn for each particle, the first network call."""

    setting: OrderedSetting
    order: Array | None
    """(D,) or (n, D), the order if it is given."""
    orders: Orders = field(metadata={"static": True})
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[OrderedParticle, None]:
        """Particles (n, ...), no potential."""
        n, *sites = self.shape
        real = jnp.broadcast_to(self.setting.mask, self.shape)
        if self.order is None:
            order = jax.vmap(self.orders.draw)(keys, real.reshape(n, -1))
        else:
            order = jnp.broadcast_to(self.order, (n, prod(sites)))
            last = jnp.argsort(~jnp.take_along_axis(real.reshape(n, -1), order, 1), axis=1, stable=True)
            order = jnp.take_along_axis(order, last, 1).astype(jnp.int32)
        x = jnp.where(real, self.setting.classes, 0).astype(jnp.int32)
        return self.setting.arrive(x, order, jnp.zeros((), jnp.int32), keys if self.setting.learned else None), None


@register_dataclass
@dataclass(frozen=True)
class Reveal(Kernel):
    """Reveal the sites at places lo..hi-1 of the order, independently given what is visible; inputs (lo, hi)."""

    setting: OrderedSetting
    width: int = field(metadata={"static": True})
    """Largest hi - lo."""

    def sites(self, p: OrderedParticle, u: tuple[Array, Array]) -> tuple[Array, Array]:
        """Flattened sites of this step (n, width), and which of them there are (fewer where items are small)."""
        place = u[0] + jnp.arange(self.width)
        real = self.setting.count(p.x)
        sites = jnp.take(p.order, jnp.minimum(place, p.order.shape[1] - 1), axis=1)
        return sites, (place < u[1]) & (place < real[:, None])

    def log_law(self, p: OrderedParticle, u: tuple[Array, Array]) -> Array:
        """log p(x_i | x_S) of the sites of this step, (n, width, K)."""
        sites, _ = self.sites(p, u)
        return jnp.take_along_axis(p.logits.reshape(len(sites), -1, self.setting.classes), sites[..., None], 1)

    def move(self, keys: Array, p: OrderedParticle, u: tuple[Array, Array]) -> OrderedParticle:
        """Draw, write, call the denoiser."""
        return self.arrive(p, self.write(p, categorical(keys, self.log_law(p, u)), u), u)

    def write(self, p: OrderedParticle, value: Array, u: tuple[Array, Array]) -> Array:
        """x with the values (n, width) at the sites of this step."""
        sites, there = self.sites(p, u)
        flat = p.x.reshape(len(sites), -1)
        sites = jnp.where(there, sites, flat.shape[1])
        return jax.vmap(lambda x, i, v: x.at[i].set(v, mode="drop"))(flat, sites, value).reshape(p.x.shape)

    def log_prob(self, p: OrderedParticle, p1: OrderedParticle, u: tuple[Array, Array]) -> Array:
        """log-density of the move, (n,); -inf for another order or a change elsewhere."""
        sites, there = self.sites(p, u)
        value = jnp.take_along_axis(p1.x.reshape(len(sites), -1), sites, 1)
        known = (value >= 0) & (value < self.setting.classes)
        log_p = jnp.take_along_axis(self.log_law(p, u), jnp.where(known, value, 0)[..., None], 2)[..., 0]
        log_p = jnp.where(there, jnp.where(known, log_p, -jnp.inf), 0.0).sum(1)
        moved = self.setting.confident or self.setting.learned  # later sites follow from the state and the noise
        later = moved & (jnp.arange(p.order.shape[1]) >= u[1])
        same = (self.write(p, value, u) == p1.x).reshape(len(sites), -1).all(1) & ((p.order == p1.order) | later).all(1)
        return jnp.where(same, log_p, -jnp.inf)

    def arrive(self, p: OrderedParticle, x: Array, u: tuple[Array, Array]) -> OrderedParticle:
        """The particle of the state x, come from p."""
        return self.setting.arrive(x, p.order, u[1], p.noise)

    def where(self, p: OrderedParticle, u: tuple[Array, Array]) -> tuple[Array, Array, Any]:  # type: ignore[override]
        """x, the hidden fraction (n,), and the condition."""
        return p.x, self.setting.time(p.x, u[1]), self.setting.cond


@register_dataclass
@dataclass(frozen=True)
class RevealLast(Reveal):
    """The last step: no network call."""

    def arrive(self, p: OrderedParticle, x: Array, u: tuple[Array, Array]) -> OrderedParticle:
        """The state with what the denoiser said before."""
        return replace(p, x=x)


@dataclass(frozen=True)
class OrderAgnostic:
    """Sampler of ARDM: reveals the sites in random order, one network call a step.

    Args:
        classes: K; the mask symbol is K.
        budget: 0 = b_0 < b_1 < ... < b_T = D, step j reveals places b_{j-1}..b_j - 1 of the order in parallel (see
            `parallel_budget`); None is one site a step, which alone is exact.
        allowed: (..., K) bool, the classes of each site, where they differ.
        orders: law of the order, that of the training; with `LEARNED_ORDER` the denoiser answers with `Ordered` and
            says which site is next (of several in a step, those that its policy draws without replacement).
        confident: reveal the site (or sites) with the largest probability of one class next, as MaskGIT does (Chang et
            al. 2022, arXiv 2202.04200), for models that were trained on all orders; `orders` decides between equals.
            Where conditionals of different orders contradict one another, the law is another one.
    """

    classes: int
    budget: tuple[int, ...] | None = None
    allowed: Any = None
    orders: Orders = ANY_ORDER
    confident: bool = False

    def model(
        self,
        denoiser: Denoiser,
        shape: tuple[int, ...],
        cond: Any = None,
        mask: Array | None = None,
        order: Array | None = None,
    ) -> Model:
        """The chain from all hidden to all revealed, for `genkit.chain.run`.

        Args:
            denoiser: logits (n, *sites, K) of x (n, *sites), at t (n,) the hidden fraction.
            shape: (n, *sites).
            cond: leaves (n, ...), or None.
            mask: bool, broadcasts with x: the sites that are real; the others stay 0.
            order: (D,) or (n, D) int, permutations of the flattened sites; drawn by each particle from `orders` if
                None.
        """
        sites = prod(shape[1:])
        bounds = np.arange(sites + 1) if self.budget is None else np.asarray(self.budget)
        if bounds[0] != 0 or bounds[-1] != sites or (np.diff(bounds) <= 0).any():
            raise UsageError(f"budget={self.budget} for {sites} sites; expected increasing numbers from 0 to {sites}")
        if order is not None and jnp.shape(order) not in ((sites,), (shape[0], sites)):
            raise UsageError(f"order has shape {jnp.shape(order)}; expected ({sites},) or ({shape[0]}, {sites})")
        if order is not None and self.confident:
            raise UsageError("an order is given, and confident=True makes its own; expected one of them")
        learned = self.orders == LEARNED_ORDER
        if learned and (self.confident or order is not None):
            raise UsageError("the order is learned; leave out confident=True and an order that is given")
        real = np.array(True) if mask is None else mask
        setting = OrderedSetting(denoiser, cond, real, self.allowed, self.classes, self.confident, learned)
        width, inputs = int(np.diff(bounds).max()), (bounds[:-1], bounds[1:])
        last = (RevealLast(setting, width), jax.tree.map(lambda a: a[-1:], inputs))
        moves = () if len(bounds) == 2 else ((Reveal(setting, width), jax.tree.map(lambda a: a[:-1], inputs)),)
        return Model(BeginHidden(setting, order, self.orders, tuple(shape)), (*moves, last))


def order_agnostic_loss(
    key: Array,
    denoiser: Denoiser,
    x0: Array,
    cond: Any,
    classes: int,
    mask: Array | None = None,
    allowed: Any = None,
    orders: Orders = ANY_ORDER,
) -> Array:
    """Bound on -log p(x_0) in nats an item, a mean over the batch: ARDM (arXiv 2110.02037), eq. 3.

    D E [mean over the sites that may come next of -log p(x_i | x_S)], after a number of revealed sites that is uniform
    on 0..D-1 and stratified over the batch; D counts the real sites of the item. With uniform orders all m hidden sites
    may come next, and it is E [D / m sum of -log p(x_i | x_S)].

    Args:
        key: for numbers and places of hidden sites.
        denoiser: the denoiser.
        x0: data (n, ...), int.
        cond: what the denoiser is conditioned on, leaves (n, ...), or None.
        classes: K.
        mask: bool, broadcasts with x0: the sites that are real.
        allowed: (..., K) bool, the classes of each site, where they differ.
        orders: law of the order.

    Raises:
        UsageError: a learned order, whose loss is `learned_order_loss`.
    """
    if orders == LEARNED_ORDER:
        raise UsageError("the order is learned; its loss is learned_order_loss")
    n = len(x0)
    k_number, k_place = jax.random.split(key)
    real = jnp.broadcast_to(True if mask is None else mask, x0.shape).reshape(n, -1)
    d = real.sum(1)
    m = jnp.minimum(jnp.floor(stratified(k_number, n) * d) + 1, d)
    rank = ranks(k_place, x0, mask, orders)
    hidden = (rank >= (d - m)[:, None]) & real
    first = jnp.minimum(d - m, rank.shape[1] - 1).astype(int)
    labels = jax.vmap(orders.labels)(real)
    now = jnp.take_along_axis(labels, first[:, None], 1)
    target = hidden & (jnp.take_along_axis(labels, rank, 1) == now)
    hidden, target = hidden.reshape(x0.shape), target.reshape(x0.shape)
    nll = hidden_nll(denoiser, x0, hidden, m / jnp.maximum(d, 1), cond, classes, allowed, target)
    return (d / jnp.maximum(target.reshape(n, -1).sum(1), 1) * nll).mean()


def ranks(key: Array, x: Array, mask: Array | None, orders: Orders) -> Array:
    """Place (n, D) of every flattened site of x (n, ...) in an order drawn for each item."""
    real = jnp.broadcast_to(True if mask is None else mask, x.shape).reshape(len(x), -1)
    order = jax.vmap(orders.draw)(jax.random.split(key, len(x)), real)
    return jnp.argsort(order, axis=1)


def parallel_budget(cost: Any, steps: int) -> tuple[int, ...]:
    """The budget of `steps` network calls with the least loss: ARDM (arXiv 2110.02037), section 3.3.

    One call that reveals places s..t-1 costs (t - s) L_s. Dynamic program over C[k, t] = min_s C[k-1, s] + (t - s) L_s.

    Args:
        cost: (D,) L_s, the mean -log p of a site given s visible ones.
        steps: network calls, 1 to D.
    """
    cost = np.asarray(cost, np.float64)
    d = len(cost)
    if not 1 <= steps <= d:
        raise UsageError(f"steps={steps} for {d} sites; expected 1 to {d} network calls")
    s, t = np.arange(d)[:, None], np.arange(d + 1)
    once = np.where(t > s, (t - s) * cost[:, None], np.inf)
    best, back = np.where(t == 0, 0.0, np.inf), []
    for _ in range(steps):
        total = best[:-1, None] + once
        back.append(total.argmin(0))
        best = total.min(0)
    bounds = [d]
    for choice in reversed(back):
        bounds.append(int(choice[bounds[-1]]))
    return tuple(reversed(bounds))
