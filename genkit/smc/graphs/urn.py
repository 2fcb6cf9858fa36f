"""Polya's urn with evidence: the likelihood of a document under fixed topics, and other Dirichlet mixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln, psi, zeta

from genkit.chain import Kernel, Model, State
from genkit.errors import UsageError
from genkit.smc.graphs.orders import check_order
from genkit.smc.resampling import ess
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array
LEAST = 0.1  # parameters of the Dirichlet that looks ahead are at least this, where the counts alone give as much
MOST = 2**19  # vectors of counts for the exact value


@dataclass(frozen=True)
class Powers:
    """Sites t_i(theta) = exp(scale_i) prod_k theta_k^beta_ik in place of the likelihoods of the draws."""

    beta: np.ndarray
    """(n, K), of either sign"""
    scale: np.ndarray
    """(n,)"""
    log_z: float
    """log of the integral of the Dirichlet prior times all sites"""
    converged: bool


def dirichlet_ep(urn: PolyaUrn, tolerance: float = 1e-8, max_steps: int = 200) -> Powers:
    """Expectation propagation: Minka and Lafferty, Expectation-propagation for the generative aspect model (2002).

    One site after the other is made anew, such that the Dirichlet has the mean of log theta of prior, the other sites,
    and the likelihood of the draw: the nearest one by the Kullback-Leibler divergence, where the paper takes means and
    variances of theta. A site whose cavity is improper stays.

    Args:
        urn: the model.
        tolerance: of the change of beta in one pass.
        max_steps: limit on the passes.
    """
    like = np.exp(urn.log_lik - urn.log_lik.max(1, keepdims=True))
    beta, scale = np.zeros_like(like), urn.log_lik.max(1).copy()
    total = urn.prior.copy()
    change = np.inf
    for _ in range(max_steps):
        before = beta.copy()
        for i, phi in enumerate(like):
            cavity = total - beta[i]
            mass = cavity.sum()
            if (cavity <= 0).any():
                continue
            share = phi * cavity / (phi @ cavity)
            total = _matched(psi(cavity) + share / cavity - psi(mass + 1), total)
            beta[i] = total - cavity
            scale[i] = urn.log_lik[i].max() + np.log(phi @ cavity / mass) + log_beta(cavity) - log_beta(total)
        change = float(np.abs(beta - before).max(initial=0.0))
        if change <= tolerance:
            break
    log_z = float(scale.sum() + log_beta(total) - log_beta(urn.prior))
    return Powers(beta, scale, log_z, change <= tolerance)


@dataclass(frozen=True, eq=False)
class PolyaUrn:
    """theta ~ Dirichlet(prior), z_i ~ theta, evidence p(y_i | z_i), i = 1..n; Z = p(y_1, ..., y_n).

    With theta integrated out p(z_i = k | z_1..i-1) = (count_k + prior_k) / (i - 1 + sum of prior). A document under
    fixed topics (latent Dirichlet allocation) has log_lik_ik = log phi_k(word i).
    """

    prior: np.ndarray
    """(K,) above 0"""
    log_lik: np.ndarray
    """(n, K) log p(y_i | z_i = k); -inf excludes."""

    approximations: ClassVar[dict[str, Callable[..., Powers]]] = {"ep": dirichlet_ep}

    def __post_init__(self) -> None:
        """Check the numbers."""
        prior, log_lik = (np.asarray(a, np.float64) for a in (self.prior, self.log_lik))
        if prior.ndim != 1 or len(prior) < 2 or not (np.isfinite(prior) & (prior > 0)).all():
            raise UsageError(f"prior={prior}; expected at least two numbers above 0, the parameters of a Dirichlet")
        if log_lik.ndim != 2 or log_lik.shape[1] != len(prior) or not len(log_lik):
            raise UsageError(f"log_lik has shape {log_lik.shape}; expected (n, {len(prior)}), n at least 1")
        if not (log_lik < np.inf).all() or (log_lik == -np.inf).all(1).any():
            raise UsageError("log_lik has NaN, +inf or a row of -inf; expected likelihoods, one of a row above 0")
        object.__setattr__(self, "prior", prior)
        object.__setattr__(self, "log_lik", log_lik)

    def neighbours(self) -> list[set[int]]:
        """Each draw depends on all others."""
        n = len(self.log_lik)
        return [set(range(n)) - {i} for i in range(n)]

    def exact(self) -> float | None:
        """log Z by the sum over all vectors of counts; None where these are too many."""
        n, k = self.log_lik.shape
        if (n + 1) ** (k - 1) > MOST:
            return None
        counts = np.indices((n + 1,) * (k - 1)).reshape(k - 1, -1)
        f = np.zeros((n + 1,) * (k - 1))
        f[(0,) * (k - 1)] = 1.0
        log = 0.0
        for row in self.log_lik:
            like = np.exp(row - row.max())
            grown = like[-1] * f
            for axis in range(k - 1):
                ahead, behind = [slice(None)] * (k - 1), [slice(None)] * (k - 1)
                ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
                grown[tuple(ahead)] += like[axis] * f[tuple(behind)]
            top = grown.max()
            f, log = grown / top, log + row.max() + np.log(top)
        last = n - counts.sum(0)
        there = (last >= 0) & (f.ravel() > 0)
        parameters = np.vstack([counts, last])[:, there].T + self.prior
        terms = np.log(f.ravel()[there]) + log_beta(parameters)
        return float(log + np.log(np.exp(terms - terms.max()).sum()) + terms.max() - log_beta(self.prior))

    def model(self, sites: Powers | None = None, order: Sequence[int] | None = None) -> Model:
        """Feynman-Kac model that draws one z after the other in their `order`, by enumeration; particles have counts.

        With sites it looks ahead by the integral of the draws so far times the sites of the others over theta, a ratio
        of Dirichlet constants, whose parameters are clipped at `least`. None is the left-to-right estimator without its
        resampled passes (Wallach, Murray, Salakhutdinov, Mimno 2009), as plain SMC. `State.shared` is the effective
        sample size by the last draw.
        """
        n, k = self.log_lik.shape
        place = check_order(order, n)
        beta = np.zeros((n, k)) if sites is None else sites.beta[place]
        inputs = Ball(place, self.log_lik[place], self.prior + later(beta))
        begin = Begin(n, np.maximum(self.prior + beta.sum(0), self.least), log_beta(self.prior))
        return Model(begin, ((Add(self.least), inputs),), jnp.zeros((), float))

    @property
    def least(self) -> float:
        """At which parameters of the look ahead are clipped: no less than the counts alone give."""
        return min(LEAST, float(self.prior.min()))

    def clipped(self, sites: Powers, order: Sequence[int] | None = None) -> bool:
        """Whether the model of these sites in this order has parameters below `least` for some counts."""
        beta = sites.beta[check_order(order, len(self.log_lik))]
        lowest = (self.prior + np.vstack([later(beta), beta.sum(0)])).min()
        return bool(lowest < self.least * (1 - 1e-9))


@register_dataclass
@dataclass(frozen=True)
class Draws:
    """What has been drawn."""

    z: Array
    """(n, draws) int"""
    counts: Array
    """(n, K)"""
    log_beta: Array
    """(n,) constant of the Dirichlet of counts and sites"""


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Nothing is drawn; the weight is the integral of prior and sites."""

    draws: int = field(metadata={"static": True})
    parameters: Any
    log_beta: Any

    def __call__(self, keys: Array) -> tuple[Draws, Array]:
        """Particles and their weights."""
        n, k = keys.shape[0], len(self.parameters)
        ahead = jnp.broadcast_to(_log_beta(jnp.asarray(self.parameters, float)), (n,))
        return Draws(
            jnp.zeros((n, self.draws), jnp.int32), jnp.zeros((n, k), ahead.dtype), ahead
        ), ahead - self.log_beta


@register_dataclass
@dataclass(frozen=True)
class Ball:
    """One draw, leaves (n, ...) in a stage."""

    place: Any
    log_lik: Any
    """(K,)"""
    parameters: Any
    """(K,) of the prior and the sites of later draws"""


@register_dataclass
@dataclass(frozen=True)
class Add(Kernel):
    """One more draw in proportion to the twisted target; inputs are `Ball`."""

    least: Any

    def plan(self, key: Array, state: State, u: Ball) -> tuple[tuple[Array, Array, Array], Array]:
        """Enumerate; the effective sample size is for whoever watches."""
        p = state.p
        after = p.counts[:, None] + jnp.eye(p.counts.shape[1], dtype=p.counts.dtype) + u.parameters
        ahead = _log_beta(jnp.maximum(after, self.least)).astype(p.log_beta.dtype)
        table = u.log_lik + ahead - p.log_beta[:, None]
        size = ess(state.log_w + jax.nn.logsumexp(table, axis=1))
        return (u.place, table, ahead), size.astype(state.shared.dtype)

    def look(self, keys: Array, p: Draws, u: tuple[Array, Array, Array]) -> tuple[tuple[Draws, Array, Array], Array]:
        """Their sums, known before the draw."""
        return (p, u[1], u[2]), jax.nn.logsumexp(u[1], axis=1)

    def move(self, keys: Array, p: tuple[Draws, Array, Array], u: tuple[Array, Array, Array]) -> Draws:
        """Draw one."""
        before, table, ahead = p
        k = jax.vmap(jax.random.categorical)(written_out(keys), table)
        counts = before.counts + jax.nn.one_hot(k, table.shape[1], dtype=before.counts.dtype)
        chosen = jnp.take_along_axis(ahead, k[:, None], 1)[:, 0]
        return Draws(before.z.at[:, u[0]].set(k.astype(before.z.dtype)), counts, chosen)


def log_beta(a: np.ndarray) -> Any:
    """log of the Dirichlet's constant prod Gamma(a_k) / Gamma(sum a_k), over the last axis; numpy."""
    return gammaln(a).sum(-1) - gammaln(a.sum(-1))


def later(beta: np.ndarray) -> np.ndarray:
    """For each draw the sum of the sites after it, (n, K)."""
    return beta[::-1].cumsum(0)[::-1] - beta


def _matched(mean: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Parameters of the Dirichlet with this mean of log theta (K,), by Newton's method from a (Minka 2000)."""
    for _ in range(100):
        slope = mean - psi(a) + psi(a.sum())
        own, all_ = zeta(2, a), zeta(2, a.sum())  # trigamma functions: the Hessian is -diag(own) + all_
        step = (slope + (slope / own).sum() / (1 / all_ - (1 / own).sum())) / own
        while (a + step <= 0).any():
            step = step / 2
        a = a + step
        if np.abs(step).max() < 1e-12 * a.max():
            break
    return a


def _log_beta(a: Array) -> Array:
    gammaln = jax.scipy.special.gammaln
    return gammaln(a).sum(-1) - gammaln(a.sum(-1))
