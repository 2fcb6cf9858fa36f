"""The compiled side of samplers whose steps are linear: a table of coefficients and the kernel that obeys it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.diffusion.denoiser import Denoiser, check_process, denoise
from genkit.diffusion.process import Process
from genkit.diffusion.random import normals
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state and what the denoiser said there and before; leaves (n, ...)."""

    x: Array
    denoised: Array
    past: tuple[Array, ...] = ()
    """denoised values (with `Calls.memory` noise) of the steps before, the latest first, as many as are looked at"""


@register_dataclass
@dataclass(frozen=True)
class Calls:
    """Network calls D(y; time) of a step at y = x state + sum_k h_k history_k + sum_l e_l earlier_l + noise eps.

    C calls a step, the last one at the new state. Leaves as given for one step, with (T,) in front for a stage.
    """

    x: Any
    """(C,)"""
    history: Any
    """(C, 1 + P): of the denoised value at the state and of P past ones"""
    earlier: Any
    """(C, C - 1): of the earlier calls of the step, the latest first"""
    noise: Any
    """(C,), zero but for the last; None if no step has noise"""
    time: Any
    """(C,)"""
    memory: Any = None
    """(2,): of the state and of the denoised value in what is kept as past; None keeps the denoised value"""


def add_noise(keys: Array, x: Array, std: Array) -> Array:
    """x + std eps, item i from keys[i]; nothing is drawn where std is zero: it would cost more than a small network."""
    return jax.lax.cond(std > 0, lambda: x + std * normals(keys, x.shape), lambda: x)


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level and its churn, with the first network call."""

    denoiser: Denoiser
    cond: Any
    std: Array
    """() of the noise."""
    churn: Array | None
    """() of the noise that churn adds there; None without churn."""
    time: Array
    """() of the call."""
    noise: Array | None
    """(n, ...) standard normal to begin with; drawn if None."""
    shape: tuple[int, ...] = field(metadata={"static": True})
    past: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles (n, ...), no potential."""
        z = normals(keys, self.shape) if self.noise is None else jnp.asarray(self.noise, float)
        x = jnp.asarray(self.std, z.dtype) * z
        if self.churn is not None:
            x = add_noise(jax.vmap(jax.random.fold_in, (0, None))(keys, 1), x, jnp.asarray(self.churn, z.dtype))
        d = denoise(self.denoiser, x, jnp.asarray(self.time, z.dtype), self.cond)
        return Particle(x, d, (d,) * self.past), None


@register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """One step of any sampler without noise: the table says which."""

    denoiser: Denoiser
    cond: Any

    def move(self, keys: Array, p: Particle, u: Calls) -> Particle:
        """Calls are one loop, so that the network is compiled once here."""
        u = jax.tree.map(lambda c: jnp.asarray(c, p.x.dtype), u)
        fresh = None if u.noise is None else add_noise(keys, jnp.zeros_like(p.x), u.noise[-1])
        calls = replace(u, memory=None)
        (x, d, _), _ = jax.lax.scan(self._call(p, fresh), self._nothing(p, u), calls)
        kept = p.denoised if u.memory is None else u.memory[0] * p.x + u.memory[1] * p.denoised
        return Particle(x, d, (kept, *p.past)[: len(p.past)])

    def where(self, p: Particle, u: Calls) -> tuple[Array, Array, Any]:  # type: ignore[override]
        """x, the time of arrival, and the condition."""
        return p.x, u.time[-1], self.cond

    def mean(self, p: Particle, u: Calls) -> Array:
        """Mean of the next state (n, ...) given this one; calls the network for all but the last call of a step."""
        u = jax.tree.map(lambda c: jnp.asarray(c, p.x.dtype), replace(u, memory=None))
        inner, last = jax.tree.map(lambda c: c[:-1], u), jax.tree.map(lambda c: c[-1], u)
        (_, _, earlier), _ = jax.lax.scan(self._call(p, None), self._nothing(p, u), inner)
        return _combine(p, earlier, last)

    def _call(self, p: Particle, fresh: Array | None) -> Callable:
        def call(carry: Any, c: Calls) -> tuple[Any, None]:
            y = _combine(p, carry[2], c)
            if fresh is not None:
                y = jnp.where(c.noise > 0, y + fresh, y)
            d = denoise(self.denoiser, y, c.time, self.cond)
            return (y, d, (d, *carry[2])[: len(carry[2])]), None

        return call

    @staticmethod
    def _nothing(p: Particle, u: Calls) -> Any:
        zero = jnp.zeros_like(p.x)
        return zero, zero, (zero,) * u.earlier.shape[-1]


def _combine(p: Particle, earlier: tuple[Array, ...], c: Calls) -> Array:
    y = c.x * p.x
    for k, d in enumerate((p.denoised, *p.past)):
        y = y + c.history[k] * d
    for k, d in enumerate(earlier):
        y = y + c.earlier[k] * d
    return y


@register_dataclass
@dataclass(frozen=True)
class NoisyStep(Step):
    """One step of a sampler that adds noise: a Gaussian kernel."""

    def log_prob(self, p: Particle, p1: Particle, u: Calls) -> Array:
        """log N(x'; mean, noise^2 I), (n,); -inf where a step has no noise and thus no density."""
        std = jnp.asarray(u.noise[-1], p.x.dtype)
        safe = jnp.where(std > 0, std, 1.0)
        z = (p1.x - self.mean(p, u)) / safe
        log_p = -0.5 * (z**2 + jnp.log(2 * jnp.pi * safe**2))
        return jnp.where(std > 0, log_p.reshape(log_p.shape[0], -1).sum(1), -jnp.inf)


@register_dataclass
@dataclass(frozen=True)
class Finish(Kernel):
    """The step to level zero, u = 0: the denoised value that the particle carries, no network call."""

    cond: Any

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """x = D."""
        return Particle(p.denoised, p.denoised, p.past)

    def where(self, p: Particle, u: Array) -> tuple[Array, Array, Any]:  # type: ignore[override]
        """x, time 0, and the condition."""
        return p.x, u, self.cond


@register_dataclass
@dataclass(frozen=True)
class Table:
    """A sampler's coefficients, computed in float64 outside jit; give it to jitted code as an argument."""

    std: Any
    """() noise at the beginning"""
    churn: Any
    """() its churn, or None"""
    time: Any
    """() of the first call"""
    steps: Calls
    """Leaves (T, ...)."""
    process: Process = field(metadata={"static": True})
    final: bool = field(metadata={"static": True})
    """Whether the last step goes to level zero."""

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...)."""
        check_process(denoiser, self.process, "the sampler's table")
        past = self.steps.history.shape[-1] - 1
        begin = Begin(denoiser, cond, self.std, self.churn, self.time, noise, shape, past)
        kernel = Step if self.steps.noise is None else NoisyStep
        stages = ((kernel(denoiser, cond), self.steps),)
        return Model(begin, (*stages, (Finish(cond), np.zeros(1))) if self.final else stages)
