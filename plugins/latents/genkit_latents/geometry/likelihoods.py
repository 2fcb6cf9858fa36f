"""Families of distributions that a decoder may end in: parameters, Fisher information, Kullback-Leibler divergence.

Each has, for parameters eta (p,) of D independent entries,

    parameters(raw) -> eta          from the unconstrained output of a network, (raw,) numbers
    information(eta) -> (p,)        the diagonal of the Fisher information in eta
    kl(eta, other) -> ()            nats, summed over entries
    log_prob(eta, x) -> ()          of data x (D,)
    mean(eta) -> (D,)
    outputs(D) -> int               numbers that a network gives
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy

from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
LOG_2PI = 1.8378770664093453


class Family(Protocol):
    """See the module."""

    def outputs(self, size: int) -> int:
        """Numbers of a network for data of this size."""
        ...

    def parameters(self, raw: Array) -> Array:
        """eta from the output of a network."""
        ...

    def information(self, eta: Array) -> Array:
        """Diagonal Fisher information."""
        ...

    def kl(self, eta: Array, other: Array) -> Array:
        """Divergence of `other` from `eta`."""
        ...

    def log_prob(self, eta: Array, x: Array) -> Array:
        """Log density or probability of x."""
        ...

    def mean(self, eta: Array) -> Array:
        """Mean of x."""
        ...


@register_dataclass
@dataclass(frozen=True)
class Normal:
    """Gaussians of one fixed standard deviation; eta are the means, I = 1 / std^2."""

    std: Array | float = 1.0

    def outputs(self, size: int) -> int:
        """A mean an entry."""
        return size

    def parameters(self, raw: Array) -> Array:
        """As they are."""
        return raw

    def information(self, eta: Array) -> Array:
        """1 / std^2."""
        return jnp.broadcast_to(1 / jnp.square(jnp.asarray(self.std, eta.dtype)), eta.shape)

    def kl(self, eta: Array, other: Array) -> Array:
        """Half the squared distance over the variance."""
        return 0.5 * jnp.square((eta - other) / self.std).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """Of Gaussians."""
        return (-0.5 * jnp.square((x - eta) / self.std) - jnp.log(self.std) - 0.5 * LOG_2PI).sum()

    def mean(self, eta: Array) -> Array:
        """The parameters."""
        return eta


@register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """Gaussians with own standard deviations; eta = (means, stds), I = (1 / s^2, 2 / s^2)."""

    least: float = 1e-3
    """Smallest standard deviation that a network can give."""

    def outputs(self, size: int) -> int:
        """A mean and a deviation an entry."""
        return 2 * size

    def parameters(self, raw: Array) -> Array:
        """The deviations by softplus."""
        mean, raw_std = jnp.split(raw, 2)
        return jnp.concatenate([mean, self.least + jax.nn.softplus(raw_std)])

    def information(self, eta: Array) -> Array:
        """1 / s^2 and 2 / s^2."""
        weight = 1 / jnp.square(jnp.split(eta, 2)[1])
        return jnp.concatenate([weight, 2 * weight])

    def kl(self, eta: Array, other: Array) -> Array:
        """In closed form."""
        (m, s), (n, t) = jnp.split(eta, 2), jnp.split(other, 2)
        return (jnp.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """Of Gaussians."""
        m, s = jnp.split(eta, 2)
        return (-0.5 * jnp.square((x - m) / s) - jnp.log(s) - 0.5 * LOG_2PI).sum()

    def mean(self, eta: Array) -> Array:
        """The means."""
        return jnp.split(eta, 2)[0]


@register_dataclass
@dataclass(frozen=True)
class Bernoulli:
    """Probabilities eta of ones, I = 1 / (p (1 - p)); data may be grey values in [0, 1]."""

    least: float = 1e-4
    """Probabilities stay this far from 0 and 1, where the information is infinite."""

    def outputs(self, size: int) -> int:
        """A logit an entry."""
        return size

    def parameters(self, raw: Array) -> Array:
        """By the logistic function."""
        return self.least + (1 - 2 * self.least) * jax.nn.sigmoid(raw)

    def information(self, eta: Array) -> Array:
        """1 / (p (1 - p))."""
        return 1 / (eta * (1 - eta))

    def kl(self, eta: Array, other: Array) -> Array:
        """Of coins."""
        return (xlogy(eta, eta / other) + xlogy(1 - eta, (1 - eta) / (1 - other))).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """x log p + (1 - x) log(1 - p)."""
        return (x * jnp.log(eta) + (1 - x) * jnp.log1p(-eta)).sum()

    def mean(self, eta: Array) -> Array:
        """The probabilities."""
        return eta


@register_dataclass
@dataclass(frozen=True)
class Categorical:
    """One distribution over the entries; eta = p on the simplex, I = 1 / p on its tangents; data are one-hot."""

    def outputs(self, size: int) -> int:
        """A logit a class."""
        return size

    def parameters(self, raw: Array) -> Array:
        """Softmax."""
        return jax.nn.softmax(raw)

    def information(self, eta: Array) -> Array:
        """1 / p."""
        return 1 / eta

    def kl(self, eta: Array, other: Array) -> Array:
        """sum p log(p / q)."""
        return xlogy(eta, eta / other).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """sum x log p."""
        return xlogy(x, eta).sum()

    def mean(self, eta: Array) -> Array:
        """The probabilities."""
        return eta


@register_dataclass
@dataclass(frozen=True)
class Poisson:
    """Counts with rates eta, I = 1 / rate."""

    def outputs(self, size: int) -> int:
        """A rate an entry."""
        return size

    def parameters(self, raw: Array) -> Array:
        """Softplus, and not 0."""
        return jax.nn.softplus(raw) + 1e-6

    def information(self, eta: Array) -> Array:
        """1 / rate."""
        return 1 / eta

    def kl(self, eta: Array, other: Array) -> Array:
        """l log(l / m) - l + m."""
        return (xlogy(eta, eta / other) - eta + other).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """x log l - l - log x!."""
        return (xlogy(x, eta) - eta - gammaln(x + 1)).sum()

    def mean(self, eta: Array) -> Array:
        """The rates."""
        return eta


@register_dataclass
@dataclass(frozen=True)
class NegativeBinomial:
    """Overdispersed counts with means eta and inverse dispersions theta, I = theta / (mu (theta + mu)).

    theta (D,) or a number is fixed along the latent space, as in FlatVI (Palma et al. 2025).
    """

    theta: Array | float = 1.0

    def outputs(self, size: int) -> int:
        """A mean an entry."""
        return size

    def parameters(self, raw: Array) -> Array:
        """Softplus, and not 0."""
        return jax.nn.softplus(raw) + 1e-6

    def information(self, eta: Array) -> Array:
        """theta / (mu (theta + mu))."""
        return self.theta / (eta * (self.theta + eta))

    def kl(self, eta: Array, other: Array) -> Array:
        """mu log(mu / nu) - (mu + theta) log((mu + theta) / (nu + theta)): linear in x, so exact at equal theta."""
        t = self.theta
        return (xlogy(eta, eta / other) - (eta + t) * jnp.log((eta + t) / (other + t))).sum()

    def log_prob(self, eta: Array, x: Array) -> Array:
        """Of the negative binomial distribution."""
        t = self.theta
        ratio = gammaln(x + t) - gammaln(t) - gammaln(x + 1)
        return (ratio + t * jnp.log(t / (t + eta)) + xlogy(x, eta / (t + eta))).sum()

    def mean(self, eta: Array) -> Array:
        """The parameters."""
        return eta


FAMILIES: dict[str, Any] = {
    "normal": Normal,
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
}


def family(name: str) -> Any:
    """The family of a name, with its defaults."""
    if name not in FAMILIES:
        raise UsageError(f"unknown likelihood {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]()
