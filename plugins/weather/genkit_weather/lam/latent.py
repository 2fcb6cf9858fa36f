"""A forecaster with a latent variable (Graph-EFM, Oskarsson et al. 2024, arXiv 2406.04759) and its training loss."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import particle_keys
from genkit.tree import register_dataclass
from genkit_weather.graphs import Graph
from genkit_weather.lam.crps import crps_rollout, fair_crps
from genkit_weather.lam.domain import Domain, Inputs, condition, target
from genkit_weather.lam.graph import apply_output, entries
from genkit_weather.lam.limits import Limits
from genkit_weather.lam.unroll import unroll
from genkit_weather.lam.windows import Window


@register_dataclass
@dataclass(frozen=True)
class LatentForecaster:
    """One network pass a step and member: z of the prior, then the mean of the decoder or a draw of its density."""

    network: Any = field(metadata={"static": True})
    params: Any
    graph: Graph
    domain: Domain
    latent: int = field(metadata={"static": True})
    limits: Limits | None = None
    deviation: bool = field(default=True, metadata={"static": True})
    draws: bool = field(default=False, metadata={"static": True})
    """the next state is a draw of the decoder's density, its mean otherwise"""
    embedded: Any = None
    """what depends on the graph and the parameters alone"""

    def prepared(self) -> "LatentForecaster":
        """The same with the graph embedded."""
        return replace(self, embedded=self.network.module(self.params).static(self.graph))

    def predict(self, inputs: Inputs, noise: Any, truth: Any = None) -> tuple[jax.Array, Any, Any]:
        """(mean, std, KL (n,)) of the next states given the noise (M_top, n, d_z) of the latent variable.

        With the true next states (n, h, w, V) it is that of the posterior, which sees them as residual targets.
        """
        cond = condition(self.domain, inputs)
        n, h, w, _ = cond.interior.shape
        y = None if truth is None else _nodes_first(target(self.domain, inputs, truth))
        fields = _nodes_first(cond.interior), jnp.moveaxis(cond.frame, 0, 1), cond.scalars
        out, divergence = self.network(self.params, self.graph, fields, noise, y, self.embedded)
        out = jnp.moveaxis(out, 0, 1).reshape(n, h, w, -1)
        return (*apply_output(self.domain, self.limits, inputs, out, self.deviation), divergence)

    def sample(self, inputs: Inputs, noise: Any, error: Any) -> jax.Array:
        """The next states given the noise of z and, of draws, that of each entry (n, h, w, V)."""
        mean, std, _ = self.predict(inputs, noise)
        if not self.draws:
            return mean
        return mean + std * error if self.limits is None else self.limits.advance(mean, std * error)

    def keys(self, key: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Of z and, of draws, of the error of the state."""
        return tuple(jax.random.split(key)) if self.draws else (key, None)  # type: ignore[return-value]

    def step(self, key: jax.Array, inputs: Inputs, slots: jax.Array) -> jax.Array:
        """Draw z, and the error of the state where there is one, of each particle from its own key."""

        def normal(key: jax.Array, shape: tuple[int, ...], axis: int) -> jax.Array:
            return jax.vmap(lambda key: jax.random.normal(key, shape), out_axes=axis)(particle_keys(key, slots))

        k_latent, k_error = self.keys(key)
        noise = normal(k_latent, (len(self.graph.mesh[-1]), self.latent), 1)
        return self.sample(inputs, noise, None if k_error is None else normal(k_error, inputs.prev.shape[1:], 0))


@dataclass(frozen=True)
class LatentWeights:
    """Weights of the terms of the loss."""

    beta: float = 1.0
    """of the divergence of posterior and prior; 0 trains an auto-encoder and leaves the prior alone"""
    crps: float = 0.0
    """of the CRPS of two rollouts of the prior"""


def latent_loss(
    key: jax.Array, model: LatentForecaster, window: Window, how: LatentWeights, weight: Any, cells: Any = None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Negative evidence bound along a rollout of posterior means, plus the CRPS of the prior; (loss, its terms).

    Log density and divergence are divided by the number of entries of a state, which moves no minimum and makes rates
    and gradient norms comparable with those of the deterministic models.

    Args:
        key: of the latent noise.
        model: with any parameters.
        window: starts and outcome.
        how: weights of the terms.
        weight: (V,) of the variables.
        cells: (h, w, 1) weights of mean 1, None for equal ones.
    """
    model, scale = model.prepared(), model.domain.residual_std
    truth = jnp.moveaxis(window.truth, 1, 0)
    steps, n, h, w, v = truth.shape
    shape = (len(model.graph.mesh[-1]), n, model.latent)

    def mean(loss: jax.Array) -> jax.Array:
        return (loss if cells is None else loss * cells).mean()

    def posterior(inputs: Inputs, truth: jax.Array, key: jax.Array) -> Any:
        x, std, divergence = model.predict(inputs, jax.random.normal(key, shape), truth)
        return x, (mean(entries("nll", x, std, truth, scale, weight)), divergence.mean() / (h * w * v))

    def prior(inputs: Inputs, key: jax.Array) -> jax.Array:
        k_latent, k_error = model.keys(key)
        noise = jax.random.normal(k_latent, (shape[0], 2 * n, shape[2]))
        return model.sample(inputs, noise, None if k_error is None else jax.random.normal(k_error, (2 * n, h, w, v)))

    k_posterior, k_prior = (jax.random.split(k, steps) for k in jax.random.split(key))
    nll, divergence = (term.mean() for term in unroll(posterior, window.given, truth, k_posterior))
    loss = nll + how.beta * divergence if how.beta else nll
    terms = {"nll": nll, "kl": divergence}
    if how.crps:
        members = jnp.moveaxis(crps_rollout(prior, window, 2, k_prior), 1, 0)
        terms["crps"] = mean(fair_crps(members, truth) / (scale / jnp.sqrt(weight)))
        loss = loss + how.crps * terms["crps"]
    return loss, terms


def _nodes_first(image: jax.Array) -> jax.Array:
    """(n, h, w, c) -> (h w, n, c)."""
    return jnp.moveaxis(image.reshape(image.shape[0], -1, image.shape[-1]), 0, 1)
