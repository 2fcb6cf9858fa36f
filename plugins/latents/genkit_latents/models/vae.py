"""A trained variational autoencoder on a manifold: codes, decoded points, geodesics, means, bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit.model import Request, Trained
from genkit.nn import Net
from genkit.tree import register_dataclass
from genkit_latents.data import Points
from genkit_latents.geometry import Curves, Numeric, between, stochastic
from genkit_latents.geometry.geodesics import Energy, Graph, Hybrid
from genkit_latents.models.agreement import relative_metric
from genkit_latents.models.laws import posterior_of, prior_log_prob, prior_sample
from genkit_latents.models.rbf import RBFDeviation
from genkit_latents.models.request import Draw
from genkit_latents.models.spaces import Space
from genkit_latents.stats import frechet_mean

Array = jax.Array


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class VAE(Trained):
    """An autoencoder with everything that gives its parameters a meaning."""

    request: ClassVar[type[Request]] = Draw

    params: Any
    """{"net": of the network, "curvature": (parts,)}"""
    net: Net = field(metadata={"static": True})
    space: Space = field(metadata={"static": True})
    posterior: str = field(metadata={"static": True})
    family: Any
    prior_std: Array | float
    metric: Any = None
    """The chosen metric in the coordinates of a Euclidean latent space; None for that of `latent`"""
    line: Any = None
    """(matrix (D, d), offset (D,)) added to the mean of the decoder, or None"""
    deviation: RBFDeviation | None = None
    """of the data about the decoder's mean, large where there are no codes; then geodesics are those of both"""

    @property
    def inputs(self) -> int:
        """D, the numbers of a row of data."""
        return self.net.sizes[1]

    @property
    def latent(self) -> Any:
        """The manifold of codes, posterior and prior."""
        return self.space.manifold(self.params["curvature"])

    @property
    def chosen(self) -> Any:
        """The manifold whose metric is the chosen one: `latent`, or that of `metric`."""
        return self.latent if self.metric is None else Numeric(self.metric, self.latent.dim)

    @property
    def manifold(self) -> Any:
        """Where distances are measured: `chosen`, or with a deviation under what mean and deviation pull back."""
        if self.deviation is None:
            return self.chosen
        return Numeric(stochastic(self.mean_map, self.deviation), self.latent.dim, WALK)

    @property
    def mean_map(self) -> Callable[[Array], Array]:
        """The decoder's mean z (*shape) -> (D,), as a pytree."""
        return jax.tree_util.Partial(_mean, self)

    def check(self, data: Points) -> None:
        """Refuse rows of another width."""
        if data.train.shape[1] != self.inputs:
            raise UsageError(
                f"{self!r} is a model of rows of {self.inputs}; {data.source} has rows of {data.train.shape[1]}"
            )

    @jax.jit
    def encode(self, x: Array) -> tuple[Array, Array]:
        """Means (n, *shape) and deviations (n, dim) of the posterior of rows x (n, D)."""
        return self.net(self.params["net"], "encode", self.latent, x)

    def eta(self, z: Array) -> Array:
        """Parameters of the likelihood at a point z (*shape)."""
        raw = self.net(self.params["net"], "decode", self.latent, z)
        if self.line is not None:
            matrix, offset = self.line
            raw = raw.at[: len(offset)].add(matrix @ z + offset)  # the means come first
        return self.family.parameters(raw)

    @jax.jit
    def decode(self, z: Array) -> Array:
        """Means (n, D) of the data at points z (n, *shape)."""
        return jax.vmap(lambda z: self.family.mean(self.eta(z)))(z)

    @partial(jax.jit, static_argnames="n")
    def codes(self, key: Array, n: int) -> Array:
        """n draws (n, *shape) of the prior."""
        return prior_sample(self.latent, self.prior_std, key, n)

    def geodesics(self, p: Array, q: Array, points: int = 33) -> Curves:
        """Geodesics of `manifold` between the rows of p and q (n, *shape), as `points` each."""
        manifold, solver = self.manifold, None
        if self.deviation is not None:  # its centres lie among the codes: paths along them lead around holes
            centres = np.asarray(self.deviation.centres)
            solver = Hybrid(Graph.build(manifold.metric, centres, min(8, len(centres) - 1)), WALK)
        p, q = (self.latent.check(x, name) for x, name in ((p, "p"), (q, "q")))
        return between(manifold, p, q, points, solver)

    def mean(self, z: Array) -> Array:
        """The Frechet mean (*shape) of points z (n, *shape) under `manifold`; `GenkitError` where it is not found."""
        found = _frechet(self.manifold, self.latent.check(z, "z"))
        if not found.converged:
            raise GenkitError(f"no Frechet mean was found (residual {float(found.residual):.2g}); take nearer points")
        return found.point

    def relative_metrics(self, z: Array) -> Array:
        """`relative_metric` at points z (n, *shape), (n, dim, dim)."""
        chosen = self.chosen
        return jax.vmap(lambda z: relative_metric(self.family, self.eta, chosen.frame(z), z))(z)


WALK = Energy(32, iterations=50, even=0.5)  # geodesics of decoders, whose pieces are less even
_frechet = jax.jit(frechet_mean)


def _mean(model: VAE, z: Array) -> Array:
    return model.family.mean(model.eta(z))


def terms(model: VAE, key: Array, x: Array, samples: int) -> tuple[Array, Array, Array]:
    """log p(x | z), log p(z) - log q(z | x), both (samples, n), and the points z (samples, n, *shape)."""
    manifold = model.latent
    mean, std = model.encode(x)

    def one(key: Array, x: Array, mean: Array, std: Array) -> tuple[Array, Array, Array]:
        q = posterior_of(manifold, model.posterior, mean, std)
        z = q.sample(key, samples)

        def log_ratio(z: Array) -> Array:
            return prior_log_prob(manifold, model.prior_std, z) - q.log_prob(z)

        fit = jax.vmap(lambda z: model.family.log_prob(model.eta(z), x))(z)
        return fit, jax.vmap(log_ratio)(z), z

    return jax.vmap(one, out_axes=1)(jax.random.split(key, x.shape[0]), x, mean, std)


def elbo(model: VAE, key: Array, x: Array, samples: int = 1) -> tuple[Array, Array]:
    """Evidence lower bound (n,) of rows x, in nats, and its part E log p(x | z)."""
    fit, ratio, _ = terms(model, key, x, samples)
    return (fit + ratio).mean(0), fit.mean(0)


def importance_bound(model: VAE, key: Array, x: Array, samples: int = 100) -> Array:
    """The importance-weighted bound (n,) on log p(x) (Burda et al. 2016), in nats."""
    fit, ratio, _ = terms(model, key, x, samples)
    return jax.nn.logsumexp(fit + ratio, 0) - jnp.log(samples)
