"""A forecaster on a graph: one network pass a step, deterministic, with or without a predicted standard deviation."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.metrics import nll_gaussian
from genkit.tree import register_dataclass
from genkit_weather.graphs import Graph
from genkit_weather.lam.domain import Domain, Inputs, condition, first_guess
from genkit_weather.lam.limits import Limits
from genkit_weather.lam.unroll import unroll
from genkit_weather.lam.windows import Window

Error = Literal["mse", "mae", "nll"]
SMALLEST = 1e-6  # standard deviation: softplus reaches 0 in float32


@register_dataclass
@dataclass(frozen=True)
class GraphForecaster:
    """X_{t+1} = guess + m + d * network (Oskarsson et al. 2023, arXiv 2309.17370), kept within bounds if there are any.

    With the guess persistence m and d are the moments of one-step differences, as published.
    """

    network: Any = field(metadata={"static": True})
    params: Any
    graph: Graph
    domain: Domain
    limits: Limits | None = None
    deviation: bool = field(default=False, metadata={"static": True})
    """the network also predicts a standard deviation: softplus, in standardised units, not scaled further"""
    embedded: Any = None
    """what depends on the graph and the parameters alone"""

    def prepared(self) -> "GraphForecaster":
        """The same with the graph embedded."""
        return replace(self, embedded=self.network.module(self.params).static(self.graph))

    def predict(self, inputs: Inputs) -> tuple[jax.Array, jax.Array | None]:
        """Mean and standard deviation (None without) of the next interior states, (n, h, w, V), standardised."""
        out = self.network(self.params, self.graph, condition(self.domain, inputs), self.embedded)
        return apply_output(self.domain, self.limits, inputs, out, self.deviation)

    def step(self, key: jax.Array, inputs: Inputs, slots: jax.Array) -> jax.Array:
        """The mean; nothing is drawn."""
        return self.predict(inputs)[0]


def apply_output(domain: Domain, limits: Limits | None, inputs: Inputs, out: jax.Array, deviation: bool) -> Any:
    """(mean, std or None) of the next state from a network's output (n, h, w, V or 2 V)."""
    std = None
    if deviation:
        out, raw = jnp.split(out, 2, -1)
        std = jnp.maximum(jax.nn.softplus(raw), SMALLEST)
    delta = domain.residual_mean + domain.residual_std * out
    guess = first_guess(domain, inputs)
    return (guess + delta if limits is None else limits.advance(guess, delta)), std


def entries(error: Error, mean: Any, std: Any, truth: Any, scale: Any, weight: Any) -> jax.Array:
    """Loss of each entry (..., V): squared or absolute error over s, or the negative log density.

    s = scale / sqrt(weight), the std of one-step changes over the root of a variable's weight; with a predicted `std`
    that one is used for the density.
    """
    s = scale / jnp.sqrt(weight)
    if error == "mse":
        return jnp.square((mean - truth) / s)
    if error == "mae":
        return jnp.abs((mean - truth) / s)
    return nll_gaussian(mean, s if std is None else std, truth, reduce=())


def graph_loss(model: GraphForecaster, window: Window, error: Error, weight: Any, cells: Any = None) -> jax.Array:
    """Mean over windows, steps, interior cells and variables of `entries` along the model's own rollout.

    Args:
        model: with any parameters.
        window: starts and outcome.
        error: mse, mae or nll.
        weight: (V,) of the variables.
        cells: (h, w, 1) weights of mean 1, None for equal ones.
    """
    model = model.prepared()

    def step(inputs: Inputs, truth: jax.Array) -> Any:
        mean, std = model.predict(inputs)
        loss = entries(error, mean, std, truth, model.domain.residual_std, weight)
        return mean, (loss if cells is None else loss * cells).mean()

    return unroll(step, window.given, jnp.moveaxis(window.truth, 1, 0)).mean()
