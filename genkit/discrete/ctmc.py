"""Samplers of the reverse process as a jump process in continuous time."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete.factorised import Factorised, Interval, Setting, Step
from genkit.discrete.process import Process, logaddexp, one_of
from genkit.discrete.transitions import Mixing, continuous
from genkit.tree import register_dataclass

Array = jax.Array


def log_rate(process: Mixing, bar: Any, x: Array, log_p: Array) -> Array:
    """log of the reverse rates to all other states over -alpha'(t), (..., S); -inf where it stays.

    The process draws from m at the rate -alpha' / alpha, so that back from x to k != x it goes at (-alpha' / alpha) m_x
    q_t(k) / q_t(x) (Campbell et al. 2022, arXiv 2205.14987, Proposition 1); with p(x_0 | x_t) for the ratio,
    -alpha' m_x (u_k + (1 - alpha) / alpha m_k sum_i u_i), u_i = p_i / Qbar_t[i, x].
    """
    log_u = process.evidence(bar, x, log_p)
    drawn = bar.renew - bar.keep + process.log_prior + jax.nn.logsumexp(log_u, -1, keepdims=True)
    rate = process.prior_at(x)[..., None] + logaddexp(log_u, drawn)
    return jnp.where(one_of(x, process.states), -jnp.inf, rate)


def with_stay(log_jump: Array, log_stay: Array, x: Array) -> Array:
    """The law of a site from its jumps (..., S) and the log-probability (..., 1) to stay at x."""
    return jnp.where(one_of(x, log_jump.shape[-1]), log_stay, log_jump)


@register_dataclass
@dataclass(frozen=True)
class EulerStep(Step):
    """Jump with probability rate * dt; `over` is log(-alpha' dt)."""

    def rule(self, process: Mixing, x: Array, logits: Array, u: Interval) -> Array:
        """log(rate dt) to every other state."""
        return u.over + log_rate(process, u.bar, x, logits)

    def normalise(self, log_k: Array, alone: Array, x: Array) -> Array:
        """Probabilities above 1 in sum are scaled to 1."""
        total = jax.nn.logsumexp(log_k, -1, keepdims=True)
        return with_stay(log_k - jnp.maximum(total, 0.0), jnp.log1p(-jnp.minimum(jnp.exp(total), 1.0)), x)


@register_dataclass
@dataclass(frozen=True)
class TauStep(EulerStep):
    """Jumps at constant rates during the step."""

    def normalise(self, log_k: Array, alone: Array, x: Array) -> Array:
        """One jump of the Poisson process, or none; sites with more stay."""
        total = jnp.exp(jax.nn.logsumexp(log_k, -1, keepdims=True))
        return with_stay(log_k - total, jnp.log1p(-total * jnp.exp(-total)), x)


@dataclass(frozen=True)
class Euler(Factorised):
    """Euler steps: to each other state with probability rate * dt, all of them scaled where their sum passes 1.

    Lou et al. 2024, SEDD (arXiv 2310.16834). First order in the step. The last step draws x_0 from
    p(x_0 | x_t), as rates are infinite at the end. For masks and alpha = 1 - t, the same as `Ancestral`.
    """

    def kernel(self, setting: Setting) -> EulerStep:
        """The Euler step."""
        return EulerStep(setting)

    def over(self, process: Process, times: np.ndarray, between: Any) -> np.ndarray:
        """log(-alpha' dt)."""
        slope = continuous(process, type(self).__name__).slope
        with np.errstate(divide="ignore"):
            return np.log(-slope(times[:-1]) * -np.diff(times))


@dataclass(frozen=True)
class TauLeaping(Euler):
    """Tau-leaping (Campbell et al. 2022, arXiv 2205.14987, section 4.3) for classes without order.

    The jumps of a site to each state in a step are Poisson of mean rate * dt; a site with exactly one jump moves, one
    with more stays. First order in the step.
    """

    def kernel(self, setting: Setting) -> TauStep:
        """The step at constant rates."""
        return TauStep(setting)
