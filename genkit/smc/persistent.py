"""Persistent sampling: tempering that keeps the particles of all steps, each weighed for the density at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, Model, State, callable_tree, run_until, start
from genkit.errors import UsageError
from genkit.smc.moves import HMC, Frame, Move, adapt, defined, frame, mutate
from genkit.smc.resampling import SCHEMES, ess
from genkit.smc.schemes import Scheme
from genkit.smc.tempering import (
    Begin,
    LogProb,
    Particle,
    Progress,
    counted,
    exponent_of_size,
    log_ratios,
    record_accept,
    tempered,
    times,
)
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


@register_dataclass
@dataclass(frozen=True)
class Pool:
    """The populations of all steps so far, one a row; rows beyond are empty. `State.shared` while it runs."""

    x: PyTree
    """leaves (T + 1, n, ...)"""
    log_ratio: Array
    """(T + 1, n) log p - log p0"""
    eve: Array
    """(T + 1, n) int"""
    log_mixture: Array
    """(T + 1, n) log of sum_s (p / p0)^b_s / Z_s over the rows s; infinite in empty rows, whose weight it makes zero"""
    log_z: Array
    """(T + 1,) of each row, estimated from those before it"""
    progress: Progress

    def log_w(self, exponent: Array) -> Array:
        """(T + 1, n) log-weights at an exponent over n: their sum is Z there."""
        return times(exponent, self.log_ratio) - self.log_mixture - jnp.log(self.log_ratio.shape[1])


@register_dataclass
@dataclass(frozen=True)
class Member(Particle):
    """A particle of tempering that knows its founder."""

    eve: Array
    """(n,) int"""


@register_dataclass
@dataclass(frozen=True)
class Persist(Kernel):
    """One exponent further: weigh all particles there are, resample n of them, MCMC at the new density."""

    log_p0: Any
    log_p: Any
    alpha: Any
    move_by: Move
    steps: int = field(metadata={"static": True})
    scheme: str | Scheme = field(metadata={"static": True})

    def plan(self, key: Array, state: State, u: Any) -> tuple[Any, Pool]:
        """The pool with the present population in it, and what comes next."""
        n, t, pool = state.log_w.shape[0], state.t, enlist(state)
        at = pool.progress
        log_w = pool.log_w(at.exponent)
        b = exponent_of_size(log_w.ravel(), pool.log_ratio.ravel(), at.exponent, self.alpha * n)
        b = jnp.where((pool.log_w(jnp.ones(())) > -jnp.inf).any(), b, 1.0)  # p is zero wherever it was looked at
        log_w = pool.log_w(b)
        log_z = jax.nn.logsumexp(log_w)
        scheme = self.scheme if callable(self.scheme) else SCHEMES[self.scheme]
        parents = scheme(key, log_w.ravel(), n)
        every = in_a_row((pool.x, pool.log_ratio, pool.eve))
        x, log_ratio, eve = jax.tree.map(lambda a: a[parents], every)
        pick = Member(x, log_ratio, jnp.zeros(n), eve)
        step = jnp.where(t > 0, adapt(self.move_by, at.step, at.accept[t - 1]), at.step)
        around = frame(every[0], log_w.ravel(), step, self.move_by)
        progress = replace(
            at, exponent=b, step=step, exponents=at.exponents.at[t].set(b), ess=at.ess.at[t].set(ess(log_w.ravel()))
        )
        new = replace(pool, log_z=pool.log_z.at[t + 1].set(log_z), progress=progress)
        return (pick, log_z - pool.log_z[t], b, around), new

    def look(self, keys: Array, p: Member, u: Any) -> tuple[Member, Array]:
        """Those resampled from the pool; the ratio of the constants."""
        return u[0], jnp.full(p.eve.shape, u[1])

    def move(self, keys: Array, p: Member, u: tuple[Any, Array, Array, Frame]) -> Member:
        """MCMC at p0^(1-b) p^b."""

        log_prob = tempered(self.log_p0, self.log_p, u[2])
        x, accept = mutate(keys, p.x, log_prob, self.move_by, u[3], self.steps, waste_free=False)
        return Member(x, defined(log_ratios(self.log_p0, self.log_p, x)), accept, p.eve)


def in_a_row(pool: PyTree) -> PyTree:
    """Leaves (rows n, ...) of a pool's leaves (rows, n, ...)."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), pool)


def enlist(state: State) -> Pool:
    """The pool with the population of a state as one more row."""
    pool, p, t = state.shared, state.p, state.t
    progress = record_accept(pool.progress, state)
    # of the earlier rows, the term of the new one; of the new row, the terms of all
    reached = jnp.concatenate([jnp.zeros(1), progress.exponents])
    row = jnp.arange(reached.shape[0])[:, None]
    terms = jax.vmap(lambda b, z: times(b, p.log_ratio) - z)(reached, pool.log_z)
    own = jax.nn.logsumexp(jnp.where(row <= t, terms, -jnp.inf), axis=0)
    added = jnp.logaddexp(pool.log_mixture, times(reached[t], pool.log_ratio) - pool.log_z[t])
    log_mixture = jnp.where(row < t, added, jnp.where(row == t, own, jnp.inf))
    return Pool(
        jax.tree.map(lambda a, new: a.at[t].set(new), pool.x, p.x),
        pool.log_ratio.at[t].set(p.log_ratio),
        pool.eve.at[t].set(p.eve),
        log_mixture,
        pool.log_z,
        progress,
    )


@dataclass(frozen=True)
class PersistentSampling:
    """SMC sampler that keeps the particles of all steps: Karamanis and Seljak 2025 (arXiv 2407.20722).

    Each step weighs all of them by the mixture of the densities so far, so the population grows without further moves
    and its weights vary less. Memory is that of (max_steps + 1) n particles, time that of max_steps^2 n additions
    beside the moves. log Z is consistent in n; unlike that of `Tempering`, Z is not unbiased.
    """

    move: Move = HMC()
    steps: int = 5
    """MCMC steps of each particle."""
    alpha: float = 0.9
    """Effective sample size of all particles at which the next exponent is set, as a fraction of n; may exceed 1, then
    populations are drawn from p0 until they are enough."""
    scheme: str | Scheme = "systematic"
    max_steps: int = 100
    """Limit on the steps; where it was too low the state is `unfinished`, `state.shared.exponent` below 1."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.steps < 1 or self.alpha <= 0 or self.max_steps < 1:
            raise UsageError(
                f"steps={self.steps} and max_steps={self.max_steps} must be at least 1, alpha={self.alpha} above 0"
            )

    def run(self, key: Array, n: int, draw: Callable[[Array], PyTree], log_p0: LogProb, log_p: LogProb) -> State:
        """A weighted population of all particles, (max_steps + 1) n places of which those not used have weight zero.

        Arguments are those of `Tempering.run`; `shared` of the result is a `Progress`.
        """
        f0, f = callable_tree(log_p0), callable_tree(log_p)
        first = Begin(callable_tree(draw), f0, f)
        begin = counted(start(key, Model(first, ()), n))
        p = begin.p
        rows, zero, none = self.max_steps + 1, jnp.zeros((), float), jnp.zeros(self.max_steps)
        empty = jnp.zeros((rows, n))
        pool = Pool(
            jax.tree.map(lambda a: jnp.zeros((rows, *a.shape), a.dtype), p.x),
            empty,
            jnp.zeros((rows, n), begin.eve.dtype),
            empty + jnp.inf,
            jnp.zeros(rows),
            Progress(zero, zero + self.move.step, none, none, none),
        )
        begin = replace(begin, p=Member(p.x, p.log_ratio, p.accept, begin.eve), shared=pool)
        kernel = Persist(f0, f, self.alpha, self.move, self.steps, self.scheme)
        end = run_until(key, begin, kernel, _arrived, self.max_steps)
        return _all(end).warned("PersistentSampling")


@jax.jit
def _all(end: State) -> State:
    pool = enlist(end)
    log_w = jnp.where(end.collapsed, -jnp.log(pool.eve.size), pool.log_w(pool.progress.exponent).ravel())
    eve, n = pool.eve.ravel(), end.eve.shape[0]
    accept = jnp.repeat(jnp.concatenate([jnp.zeros(1), pool.progress.accept]), n)
    return replace(
        end,
        p=Particle(in_a_row(pool.x), pool.log_ratio.ravel(), accept),
        log_w=log_w - jax.nn.logsumexp(log_w),
        eve=eve,
        ancestors=jnp.arange(eve.shape[0], dtype=jnp.int32),
        shared=pool.progress,
    )


def _arrived(state: State) -> Array:
    return state.shared.progress.exponent >= 1
