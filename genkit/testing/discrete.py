"""Exact answers for categorical processes: denoisers of known laws, and the exact law of a sampler."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Model
from genkit.discrete import Process, float_time
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class TableDenoiser:
    """p(x_0 | x_t) site by site, for any law of x_0 over a few sites: sums over all its states."""

    log_table: Any
    """(K, ..., K), one axis a site; need not be normalised."""
    process: Process | None = None
    """How x_t was made; None is masks, of which no time is needed."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Logits (n, D, K) for x (n, D); without the own site's evidence if the process supplies that."""
        seen = self._seen(x, t)
        logits = [self._sum(seen, without=i) for i in range(x.shape[1])]
        logits = jnp.stack(logits, 1)
        return logits if self.process is None or self.process.likelihood else logits + seen

    def log_prob(self, x: Array, t: Any = None) -> Array:
        """log p(x_t), (n,); up to the constant of the table. For masks, of the visible sites; these need no time."""
        total = self._sum(self._seen(x, t), without=None)
        return jax.nn.logsumexp(total, -1)

    def _seen(self, x: Array, t: Any) -> Array:
        """log q(x_t | x_0) of each site for each of its classes, (n, D, K)."""
        log_table = jnp.asarray(self.log_table)
        if x.shape[1:] != (log_table.ndim,):
            raise UsageError(f"x has shape {x.shape}; the table is over {log_table.ndim} sites, expected (n, sites)")
        classes = log_table.shape[0]
        if self.process is None:
            x = x[..., None]
            return jnp.where((x == classes) | (x == jnp.arange(classes)), 0.0, -jnp.inf)
        t = float_time(t, x.shape[0])
        column = self.process.column if t.ndim == 0 else jax.vmap(self.process.column)
        return column(self.process.bar(t), x)[..., :classes]

    def _sum(self, seen: Array, without: int | None) -> Array:
        """Sum of table times evidence over all sites but one (the last if None), (n, K)."""
        sites = seen.shape[1]
        total = jnp.broadcast_to(self.log_table, (len(seen), *jnp.shape(self.log_table)))
        for i in range(sites):
            if i != without:
                total = total + seen[:, i].reshape(len(seen), *(-1 if j == i else 1 for j in range(sites)))
        left = sites - 1 if without is None else without
        return jax.nn.logsumexp(jnp.moveaxis(total, left + 1, 1).reshape(len(seen), seen.shape[2], -1), -1)


@register_dataclass
@dataclass(frozen=True)
class ChainDenoiser:
    """p(x_i | x_S) of masked sites of a hidden Markov chain of any length, by the forward-backward recursion.

    Potentials need not be normalised, so that chains and rings of spins are covered too. A masked site is state K.
    """

    log_initial: Any
    """(H,)."""
    log_transition: Any
    """(H, H), from row to column."""
    log_emission: Any
    """(H, K)."""
    log_final: Any = 0.0
    """(H,), of the last hidden state."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """Logits (n, D, K) of x (n, D): of each site given the other visible ones."""
        forward, backward, _ = self._messages(x)
        return jax.nn.logsumexp((forward + backward)[..., None] + jnp.asarray(self.log_emission), 2)

    def log_prob(self, x: Array) -> Array:
        """log p(x_S), (n,): the sum of all potentials over hidden states and masked sites."""
        forward, backward, seen = self._messages(x)
        return jax.nn.logsumexp((forward + backward + seen)[:, 0], -1)

    def _messages(self, x: Array) -> tuple[Array, Array, Array]:
        """Log-messages to each site from its left and its right, and its own evidence, (n, D, H)."""
        initial, transition = jnp.asarray(self.log_initial), jnp.asarray(self.log_transition)
        emission = jnp.asarray(self.log_emission)
        table = jnp.concatenate([emission, jax.nn.logsumexp(emission, 1, keepdims=True)], 1)
        seen = table.T[x]

        def pass_on(matrix):
            def step(message, seen):
                return jax.nn.logsumexp((message + seen)[..., None] + matrix, -2), message

            return step

        first = jnp.broadcast_to(initial, seen[:, 0].shape)
        by_site = jnp.moveaxis(seen, 1, 0)
        _, forward = jax.lax.scan(pass_on(transition), first, by_site)
        last = jnp.broadcast_to(jnp.asarray(self.log_final), first.shape)
        _, backward = jax.lax.scan(pass_on(transition.T), last, by_site, reverse=True)
        return jnp.moveaxis(forward, 0, 1), jnp.moveaxis(backward, 0, 1), seen


def discrete_denoiser(table: Any, process: Process | None = None) -> TableDenoiser:
    """Exact denoiser of a law over a few sites.

    Args:
        table: (K, ..., K) non-negative, the joint law of x_0, one axis a site.
        process: how x_t was made; None for masks, also in `OrderAgnostic`.
    """
    table = np.asarray(table, np.float64)
    if table.ndim < 1 or len(set(table.shape)) > 1 or (table < 0).any():
        raise UsageError(f"table has shape {table.shape}; expected non-negative numbers (K, ..., K), one axis a site")
    with np.errstate(divide="ignore"):
        return TableDenoiser(np.log(table), process)


def hmm_denoiser(initial: Any, transition: Any, emission: Any) -> ChainDenoiser:
    """Exact denoiser, under masks, of the observations of a hidden Markov model.

    Args:
        initial: (H,) law of the first hidden state.
        transition: (H, H), rows sum to 1.
        emission: (H, K), rows sum to 1.
    """
    initial, transition, emission = (np.asarray(a, np.float64) for a in (initial, transition, emission))
    h = len(initial)
    if transition.shape != (h, h) or emission.shape[:1] != (h,):
        raise UsageError(f"transition {transition.shape} and emission {emission.shape}; expected {(h, h)} and ({h}, K)")
    with np.errstate(divide="ignore"):
        return ChainDenoiser(np.log(initial), np.log(transition), np.log(emission))


def ising_denoiser(coupling: float, field: float = 0.0, ring: bool = False) -> ChainDenoiser:
    """Exact denoiser, under masks, of an Ising chain: p ~ exp(coupling sum s_i s_{i+1} + field sum s_i).

    Class 0 is spin -1, class 1 spin +1. `log_prob` of a chain of masks is log Z.
    """
    spin = np.array([-1.0, 1.0])
    return potts_denoiser(coupling * np.multiply.outer(spin, spin), field * spin, ring)


def potts_denoiser(pair: Any, field: Any, ring: bool = False) -> ChainDenoiser:
    """Exact denoiser, under masks, of a chain of classes: p ~ exp(sum pair[x_i, x_{i+1}] + sum field[x_i]).

    Args:
        pair: (K, K), of neighbours; the Potts model has coupling times the identity.
        field: (K,).
        ring: whether the first site follows the last one; the hidden state is then both the first site and this one.
    """
    pair, field = np.asarray(pair, np.float64), np.asarray(field, np.float64)
    k = len(field)
    if pair.shape != (k, k):
        raise UsageError(f"pair {pair.shape} and field {field.shape}; expected (K, K) and (K,)")
    same = np.where(np.eye(k) > 0, 0.0, -np.inf)
    if not ring:
        return ChainDenoiser(np.zeros(k), pair, same + field)
    transition = (same[:, None, :, None] + pair[:, None]).reshape(k * k, k * k)
    return ChainDenoiser(same.ravel(), transition, np.tile(same + field, (k, 1)), pair.T.ravel())


def all_states(sites: int, states: int) -> np.ndarray:
    """(S^D, D) int32, the last site fastest."""
    return np.array(list(product(range(states), repeat=sites)), np.int32)


def exact_law(model: Model, sites: int, states: int) -> Array:
    """The law of the last state of a chain of `genkit.discrete`, (S,) * D, without sampling.

    Pushes the law through the matrices exp(log_prob) over all S^D states; for the factorised samplers, whose particle
    follows from its state. Make the model with `shape=(S^D, D)`.
    """
    x = jnp.asarray(all_states(sites, states))
    law, p = _begin(model.init, x)
    for kernel, inputs in model.stages:
        for i in range(len(jax.tree.leaves(inputs)[0])):
            law, p = _push(kernel, law, p, x, jax.tree.map(lambda a, i=i: a[i], inputs))
    return law.reshape((states,) * sites)


@jax.jit
def _begin(init, x):
    p = init.arrive(x)
    return jnp.exp(init.log_prob(p)), p


# One step at a time, so that chains of any length are one compilation.
@jax.jit
def _push(kernel, law, p, x, u):
    p1 = kernel.arrive(p, x, u)

    def moves(p):
        return kernel.log_prob(jax.tree.map(lambda a: jnp.broadcast_to(a, (len(x), *a.shape)), p), p1, u)

    log_q = jax.lax.map(moves, p, batch_size=64)
    return jnp.where(law[:, None] > 0, law[:, None] * jnp.exp(log_q), 0).sum(0), p1
