"""A trained forecaster: denoiser of the residual target and, in two stages, the mean it refines."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion import Denoiser, process_of, sample
from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.lam.domain import Domain, Inputs, advance, condition, target
from genkit_weather.lam.leads import lead_noise
from genkit_weather.networks import Conditioning


@register_dataclass
@dataclass(frozen=True)
class MeanModel:
    """First of two stages: a network that predicts the mean of the residual target (CorrDiff, arXiv 2309.15214)."""

    network: Any = field(metadata={"static": True})
    """the network of the plugin, called with a zero target at noise level 1"""
    params: Any
    scale: Any
    """(V,) std of target minus mean on data not trained on: the unit of the second stage"""

    def __call__(self, cond: Conditioning) -> jax.Array:
        """The predicted mean (n, h, w, V)."""
        zero = jnp.zeros((*cond.interior.shape[:3], self.scale.shape[0]), jnp.float32)
        return self.network(self.params, zero, jnp.zeros(zero.shape[0]), cond)

    def refine(self, cond: Conditioning) -> tuple[Conditioning, jax.Array]:
        """The conditioning of the second stage, which sees the mean too, and the mean (constant in gradients)."""
        mean = jax.lax.stop_gradient(self(replace(cond, key=None)))
        return replace(cond, interior=jnp.concatenate([cond.interior, mean], -1)), mean


@register_dataclass
@dataclass(frozen=True)
class Forecaster:
    """A trained model with the statistics of its domain."""

    denoiser: Denoiser
    domain: Domain
    mean: MeanModel | None = None


def denoising_problem(domain: Domain, mean: MeanModel | None, inputs: Inputs, truth: jax.Array, key=None):
    """(conditioning, data) of the denoiser for known outcomes (n, h, w, V); `key` switches dropout on."""
    cond, y = replace(condition(domain, inputs), key=key), target(domain, inputs, truth)
    if mean is None:
        return cond, y
    cond, predicted = mean.refine(cond)
    return cond, (y - predicted) / mean.scale


@register_dataclass
@dataclass(frozen=True)
class Sampled:
    """A forecaster with the numbers of its sampler: what `rollout` takes."""

    model: Forecaster
    table: Any
    """`sampler.table(process)`, a pytree"""
    mixing: Any = None
    """(leads, leads) weights of the noise, see `genkit_weather.lam.leads`; None where a call predicts one lead"""
    delta: int = field(default=1, metadata={"static": True})
    """steps between the leads of `mixing`"""

    @classmethod
    def by(cls, sampler: Any, model: Forecaster, mixing: Any = None, delta: int = 1) -> "Sampled":
        """With `genkit.diffusion.Heun(...)` or the like."""
        if not hasattr(sampler, "table"):
            raise UsageError(
                f"{type(sampler).__name__} has no table(process), its numbers as a pytree for compiled code"
            )
        return cls(model, sampler.table(process_of(model.denoiser)), mixing, delta)

    @property
    def domain(self) -> Domain:
        """Statistics and fixed fields."""
        return self.model.domain

    def step(self, key: jax.Array, inputs: Inputs, slots: jax.Array) -> jax.Array:
        """Draw the next interior states (n, h, w, V), standardised; `slots` as in `genkit.diffusion.sample`."""
        model, shape, noise = self.model, inputs.prev.shape, None
        if self.mixing is not None:
            noise = lead_noise(key, slots, self.mixing[inputs.lead // self.delta - 1], shape)
        cond = condition(model.domain, inputs)
        if model.mean is None:
            y = sample(key, self.table, model.denoiser, shape, cond, slots, noise)
        else:
            cond, predicted = model.mean.refine(cond)
            y = predicted + model.mean.scale * sample(key, self.table, model.denoiser, shape, cond, slots, noise)
        return advance(model.domain, inputs, y)
