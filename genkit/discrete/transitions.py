"""Noising processes by their matrices: uniform, marginal, absorbing, masked; discretised Gaussian."""

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete.process import Process, logaddexp, one_of
from genkit.discrete.random import categorical
from genkit.discrete.schedule import Continuous, Level, Schedule, at, float_time, strided
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Mixing(Process):
    """A site keeps its value with probability alpha, else it is drawn from the prior m.

    Qbar_t = alpha_t I + (1 - alpha_t) 1 m^T, and the same form between any two times, so that every law costs O(S) a
    site. Make it with `uniform`, `marginal`, `absorbing` or `masked`.
    """

    schedule: Schedule = field(kw_only=True)
    state: int | None = field(default=None, kw_only=True, metadata={"static": True})
    """The state that the prior leaves, where it is one."""

    def perturb(self, key: Array, x0: Array, t: Array) -> Array:
        """Draw x_t given x0 (n, ...), int32; where the prior leaves one state, one draw of two a site."""
        if self.state is None:
            return super().perturb(key, x0, t)
        level = self.bar(float_time(t, n := x0.shape[0]))
        log_p = jnp.stack([level.keep, level.renew], -1)
        log_p = jnp.broadcast_to(log_p.reshape(-1, *[1] * (x0.ndim - 1), 2), (*x0.shape, 2))
        renewed = categorical(jax.random.split(key, n), log_p) == 1
        renewed |= (x0 < 0) | (x0 >= self.states)  # what fills up sites that are not real
        return jnp.where(renewed, self.state, x0).astype(jnp.int32)

    def row(self, level: Level, x: Array) -> Array:
        """log Q[x, :], (..., S)."""
        drawn = level.renew + jnp.broadcast_to(self.log_prior, (*x.shape, self.states))
        return jnp.where(one_of(x, self.states), jnp.logaddexp(level.keep, drawn), drawn)

    def column(self, level: Level, x: Array) -> Array:
        """log Q[:, x], (..., S)."""
        drawn = level.renew + self.prior_at(x)[..., None]
        return jnp.where(one_of(x, self.states), jnp.logaddexp(level.keep, drawn), drawn)

    def push(self, level: Level, log_u: Array) -> Array:
        """log sum_i u_i Q[i, :] = log (alpha u + (1 - alpha) m sum_i u_i)."""
        total = jax.nn.logsumexp(log_u, -1, keepdims=True)
        return logaddexp(level.keep + log_u, level.renew + self.log_prior + total)

    def bar(self, t: Array) -> Level:
        """log alpha and log(1 - alpha) at times t."""
        return self.schedule.level(t)

    def grid(self, steps: int | None) -> np.ndarray:
        """Times of a sampler, from noise to data."""
        return self.schedule.grid(steps)

    def intervals(self, times: np.ndarray) -> tuple[Level, Level]:
        """Levels at the times, and of the matrices between them."""
        bar = self.schedule.level(times)
        earlier = jax.tree.map(lambda a: a[1:], bar)
        return bar, jax.tree.map(lambda a: a[:-1], bar).since(earlier)

    def prior_at(self, x: Array) -> Array:
        """log m[x], (...)."""
        prior = jnp.broadcast_to(self.log_prior, (*x.shape, self.states))
        return jnp.take_along_axis(prior, x[..., None], -1)[..., 0]


@register_dataclass
@dataclass(frozen=True)
class Dense(Process):
    """A chain of T steps given by its matrices, which all sites share.

    A level is the log of one matrix (S, S), shared by all sites of an item. Make it with `dense` or
    `discretised_gaussian`.
    """

    bars: Any = field(kw_only=True)
    """(T + 1, S, S) float64, log Qbar_k; the first is the identity."""
    step: Any = field(kw_only=True)
    """(T + 1, S, S) float64, log Q_k; entry 0 is not used."""

    def row(self, level: Array, x: Array) -> Array:
        """log Q[x, :], (..., S)."""
        return jnp.asarray(level)[x]

    def column(self, level: Array, x: Array) -> Array:
        """log Q[:, x], (..., S)."""
        return jnp.asarray(level).T[x]

    def push(self, level: Array, log_u: Array) -> Array:
        """log sum_i u_i Q[i, :], one product with the shared matrix."""
        high = jax.lax.stop_gradient(log_u.max(-1, keepdims=True))
        high = jnp.where(high > -jnp.inf, high, 0.0)
        total = jnp.exp(log_u - high) @ jnp.exp(level)
        return jnp.where(total > 0, jnp.log(jnp.where(total > 0, total, 1.0)), -jnp.inf) + high

    def bar(self, t: Array) -> Array:
        """log Qbar after round(t) steps."""
        return at(self.bars, t)

    def grid(self, steps: int | None) -> np.ndarray:
        """T, ..., 1, 0, or as many steps between as asked."""
        return strided(len(self.bars) - 1, steps)

    def intervals(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log Qbar at the times, and the matrices between them."""
        k, one = np.rint(times).astype(int), np.exp(self.step)
        between = [reduce(np.matmul, one[s + 1 : t + 1]) for t, s in zip(k, k[1:], strict=False)]
        return np.asarray(self.bars)[k], _log(np.stack(between))


def uniform(classes: int, schedule: Schedule, allowed: Any = None, likelihood: bool = True) -> Mixing:
    """Noise that draws one of K classes uniformly (Hoogeboom et al. 2021, arXiv 2102.05379; D3PM).

    Args:
        classes: K.
        schedule: alpha(t): `Linear`, `Cosine` or `steps(...)`.
        allowed: (..., K) bool, the classes of each site, where they differ.
        likelihood: see `Process.likelihood`.
    """
    return marginal(np.ones(_at_least_two(classes)), schedule, allowed, likelihood)


def marginal(weights: Any, schedule: Schedule, allowed: Any = None, likelihood: bool = True) -> Mixing:
    """Noise that draws from the marginal law of the data (Vignac et al. 2023, DiGress, arXiv 2209.14734).

    Args:
        weights: (..., K) frequencies of the classes, by site if they differ; scaled to sum 1.
        schedule: alpha(t).
        allowed: (..., K) bool, the classes of each site, where they differ.
        likelihood: see `Process.likelihood`.
    """
    weights = np.asarray(weights, np.float64)
    weights = weights if allowed is None else weights * np.asarray(allowed)
    if (weights < 0).any() or (weights.sum(-1) <= 0).any():
        raise UsageError("weights of the prior must be non-negative, and positive for one class of each site at least")
    prior = _log(weights / weights.sum(-1, keepdims=True))
    return Mixing(prior, _mask(allowed), likelihood, schedule=schedule)


def absorbing(classes: int, state: int, schedule: Schedule, allowed: Any = None, likelihood: bool = True) -> Mixing:
    """Noise that leaves one of the K classes of data, such as "empty", in all sites; see `masked` for a new symbol.

    Args:
        classes: K.
        state: the absorbing class, 0..K-1.
        schedule: alpha(t).
        allowed: (..., K) bool, the classes of each site, where they differ.
        likelihood: see `Process.likelihood`; without it a reverse step never moves what it once placed, and a network
            that is not yet trained places too much.
    """
    if not 0 <= state < _at_least_two(classes):
        raise UsageError(f"state={state} of {classes} classes; expected 0 to {classes - 1}")
    prior = _log(np.eye(classes)[state])
    return Mixing(prior, _mask(allowed), likelihood, schedule=schedule, state=state)


def masked(classes: int, schedule: Schedule, allowed: Any = None) -> Mixing:
    """Noise that hides sites behind a mask symbol, the state K (D3PM; Sahoo et al. 2024, MDLM, arXiv 2406.07524).

    A denoiser's logits (..., K) have no mask symbol, and what is visible stays: the rules called SUBS in MDLM.

    Args:
        classes: K.
        schedule: alpha(t).
        allowed: (..., K) bool, the classes of each site, where they differ.
    """
    prior = _log(np.eye(_at_least_two(classes) + 1)[classes])
    return Mixing(prior, _mask(allowed), masking=True, schedule=schedule, state=classes)


def dense(matrices: Any, prior: Any = None, likelihood: bool = True) -> Dense:
    """Any chain of T steps, one matrix a step for all sites.

    Args:
        matrices: (T, S, S) float, Q_1..Q_T; rows sum to 1.
        prior: (S,) law of x_T from which samples start; uniform if None.
        likelihood: see `Process.likelihood`.
    """
    q = np.asarray(matrices, np.float64)
    if q.ndim != 3 or q.shape[1] != q.shape[2] or (q < 0).any() or not np.allclose(q.sum(-1), 1):
        raise UsageError(f"matrices of shape {q.shape}; expected (T, S, S), not negative, with rows that sum to 1")
    bars = [np.eye(q.shape[1])]
    for one in q:
        bars.append(bars[-1] @ one)
    prior = np.ones(q.shape[1]) if prior is None else np.asarray(prior, np.float64)
    if prior.shape != q.shape[1:2]:
        raise UsageError(f"prior has shape {prior.shape}; expected {q.shape[1:2]}, one probability a state")
    log_prior = _log(prior / prior.sum())
    return Dense(log_prior, likelihood=likelihood, bars=_log(np.stack(bars)), step=_log(np.concatenate([bars[:1], q])))


def discretised_gaussian(classes: int, betas: Any, likelihood: bool = True) -> Dense:
    """Noise that moves an ordinal class to near ones (D3PM, arXiv 2107.03006, appendix A.2.3).

    Q_ij = exp(-4 (i - j)^2 / ((K - 1)^2 beta)) / sum_{n = 1-K}^{K-1} exp(-4 n^2 / ((K - 1)^2 beta)) for i != j, and
    Q_ii what is left; doubly stochastic, so that its limit is uniform.

    Args:
        classes: K.
        betas: (T,) positive.
        likelihood: see `Process.likelihood`.
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or (betas <= 0).any():
        raise UsageError(f"betas of shape {betas.shape}; expected (T,) positive numbers")
    n = np.arange(1 - _at_least_two(classes), classes)
    weight = np.exp(-4 * n**2 / ((classes - 1) ** 2 * betas[:, None]))
    weight /= weight.sum(-1, keepdims=True)
    i = np.arange(classes)
    q = weight[:, i[None, :] - i[:, None] + classes - 1]
    q[:, i, i] = 0
    q[:, i, i] = 1 - q.sum(-1)
    return dense(q, likelihood=likelihood)


def continuous(process: Any, who: str) -> Continuous:
    """The schedule of a process in continuous time; raises UsageError for another one."""
    schedule = getattr(process, "schedule", None)
    if not isinstance(schedule, Continuous):
        raise UsageError(f"{who} needs a process in continuous time: give it the schedule Linear or Cosine")
    return schedule


def _log(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p)


def _mask(allowed: Any) -> Any:
    return None if allowed is None else np.asarray(allowed, bool)


def _at_least_two(classes: int) -> int:
    if classes < 2:
        raise UsageError(f"classes={classes}; a categorical process needs at least 2")
    return classes
