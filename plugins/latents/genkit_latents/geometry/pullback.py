"""Metrics that a decoder induces: Euclidean, stochastic, under an ambient metric, Fisher-Rao."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from genkit.tree import register_dataclass
from genkit_latents.geometry.likelihoods import Family
from genkit_latents.geometry.metric import as_tree

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Pullback:
    """G = J' H(f(z)) J of a decoder f (d,) -> (D,), H = I without `ambient`.

    Where f has no second derivative (ReLU) the geodesic equation means nothing; `Energy` works, by chords.
    """

    f: Callable[[Array], Array]
    """A pytree callable (`jax.tree_util.Partial(apply, params)`) or a plain function."""
    ambient: Any = None
    """A metric of the ambient space."""
    floor: float = 0.0
    """Added to the diagonal of G, for directions that the decoder ignores; `metric.condition` tells of them."""

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "f", as_tree(self.f))

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        x, j = self.f(z), jax.jacfwd(self.f)(z)
        if self.ambient is None:
            weighed = j
        elif hasattr(self.ambient, "diag"):
            weighed = self.ambient.diag(x)[:, None] * j
        else:
            weighed = self.ambient.G(x) @ j
        return j.T @ weighed + self.floor * jnp.eye(z.shape[0], dtype=z.dtype)

    def square(self, z: Array, v: Array) -> Array:
        """|J v|^2 of the ambient metric: one forward derivative."""
        x, u = jax.jvp(self.f, (z,), (v,))
        return _ambient_square(self.ambient, x, u) + self.floor * (v @ v)

    def chord(self, a: Array, b: Array) -> Array:
        """Squared length of the ambient chord, measured in its middle."""
        x, y = self.f(a), self.f(b)
        return _ambient_square(self.ambient, (x + y) / 2, y - x) + self.floor * jnp.square(a - b).sum()


def _ambient_square(metric: Any, x: Array, u: Array) -> Array:
    from genkit_latents.geometry.metric import square

    return u @ u if metric is None else square(metric, x, u)


@register_dataclass
@dataclass(frozen=True)
class Twice:
    """The metric diag(H(mu), H(mu)) of (mu, sigma): both parts are measured where the mean is."""

    metric: Any

    def diag(self, x: Array) -> Array:
        """For a diagonal H."""
        one = self.metric.diag(x[: x.shape[0] // 2])
        return jnp.concatenate([one, one])


def stochastic(mean: Callable[[Array], Array], std: Callable[[Array], Array], ambient: Any = None) -> Pullback:
    """The expected metric of x = mean(z) + std(z) * eps: J_m' H J_m + J_s' H J_s, H at the mean.

    Arvanitidis et al. 2018 (arXiv 1710.11379), and with a diagonal `ambient` metric Arvanitidis et al. 2021 (arXiv
    2008.00565). It is the metric of the map (mean, std), so chords and all solvers serve.
    """
    mean, std = as_tree(mean), as_tree(std)
    return Pullback(Both(mean, std), None if ambient is None else Twice(ambient))


@register_dataclass
@dataclass(frozen=True)
class Both:
    """z -> (mean(z), std(z)), (2 D,)."""

    mean: Any
    std: Any

    def __call__(self, z: Array) -> Array:
        """Joined."""
        return jnp.concatenate([self.mean(z), self.std(z)])


@register_dataclass
@dataclass(frozen=True)
class Ensemble:
    """The mean metric of decoders f(params_m, z) that were trained apart (Syrota et al. 2024, arXiv 2408.07507).

    A chord joins the surfaces of two different members, over all ordered pairs: where members disagree every chord is
    long, which keeps geodesics near the data.
    """

    f: Callable[[Any, Array], Array]
    members: Any
    """Parameters with a leading axis of members."""

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "f", as_tree(self.f))

    def _decode(self, z: Array) -> Array:
        return jax.vmap(lambda params: self.f(params, z))(self.members)

    def G(self, z: Array) -> Array:
        """Mean of J'J over the members; without the disagreement, which has no place in a smooth metric."""
        j = jax.vmap(lambda params: jax.jacfwd(lambda z: self.f(params, z))(z))(self.members)
        return jnp.einsum("mik,mil->kl", j, j) / j.shape[0]

    def chord(self, a: Array, b: Array) -> Array:
        """Mean of |f_m(a) - f_n(b)|^2 over all m, n."""
        x, y = self._decode(a), self._decode(b)
        apart = jnp.square(x.mean(0) - y.mean(0)).sum()
        return apart + (jnp.square(x - x.mean(0)) + jnp.square(y - y.mean(0))).mean(0).sum()


@register_dataclass
@dataclass(frozen=True)
class FisherRao:
    """G = J' I(eta) J of a decoder z -> eta, the parameters of a family of distributions (`likelihoods`).

    Lengths are those between distributions; a chord is 2 KL, to second order the squared length.
    """

    eta: Callable[[Array], Array]
    """z (d,) -> parameters, as the family has them."""
    family: Family

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "eta", as_tree(self.eta))

    def G(self, z: Array) -> Array:
        """The matrix (d, d)."""
        j = jax.jacfwd(self.eta)(z)
        return j.T @ (self.family.information(self.eta(z))[:, None] * j)

    def square(self, z: Array, v: Array) -> Array:
        """v' G v by one forward derivative."""
        eta, u = jax.jvp(self.eta, (z,), (v,))
        return (self.family.information(eta) * u * u).sum()

    def chord(self, a: Array, b: Array) -> Array:
        """KL(a, b) + KL(b, a)."""
        x, y = self.eta(a), self.eta(b)
        return self.family.kl(x, y) + self.family.kl(y, x)
