"""Sampling as one compiled program."""

from dataclasses import replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.core import Tracer

from genkit.chain import Model, callable_tree, run, start
from genkit.diffusion.denoiser import Denoiser
from genkit.errors import GenkitError, UsageError

Array = jax.Array


class Sampler(Protocol):
    """An algorithm that turns noise into data, given a denoiser."""

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...); its particles have the state as `x`."""
        ...


def sample(
    key: Array,
    sampler: Sampler,
    denoiser: Denoiser,
    shape: tuple[int, ...],
    cond: Any = None,
    slots: Array | None = None,
    noise: Array | None = None,
) -> Array:
    """Draw samples x_0, an array of `shape` = (n, ...).

    One compiled program per shape, number of steps and type of denoiser; new parameters, levels, churn and
    keys compile nothing. May be called inside jit, scan and vmap; there a sampler is a constant of the
    program, while `sampler.table()`, which can be given in its place, may be an argument.

    Args:
        key: key of the run.
        sampler: such as `Heun(...)` or `DPMpp2S(...)`.
        denoiser: (x (n, ...), t (), cond) -> E[x_0 | x_t].
        shape: (n, ...) of the samples.
        cond: pytree of leaves (n, ...), one condition per sample, or None.
        slots: (n,) int, places of these samples in a larger whole; a draw in chunks equals one draw.
        noise: standard normal z of `shape` to begin with, in place of a draw, where the sampler's `model`
            takes it.

    Raises:
        UsageError: cond or noise without the shape's batch, or a denoiser that returns another shape.
        GenkitError: outside jit, samples that are not finite.
    """
    shape = tuple(shape)
    for leaf in jax.tree.leaves(cond):
        if leaf.shape[:1] != shape[:1]:
            raise UsageError(f"cond has a leaf of shape {leaf.shape}; its first axis must be the batch of {shape[0]}")
    if noise is not None and noise.shape != shape:
        raise UsageError(f"noise has shape {noise.shape}; expected that of the samples, {shape}")
    options = {} if noise is None else {"noise": noise}
    model = sampler.model(callable_tree(denoiser), shape, cond, **options)
    slots = jnp.arange(shape[0]) if slots is None else slots
    x, bad = _draw(key, replace(model, init=callable_tree(model.init)), slots)
    if not isinstance(bad, Tracer) and bad:
        raise GenkitError(
            f"{int(bad)} of {shape[0]} samples are not finite: the denoiser returned NaN or infinity on the way; check "
            "its parameters, and that the noise levels are those it was trained for"
        )
    return x


@jax.jit
def _draw(key: Array, model: Model, slots: Array) -> tuple[Array, Array]:
    """Samples, and how many are not finite."""
    state, _ = run(key, start(key, model, slots.shape[0], slots), model.stages, slots=slots)
    x = state.p.x
    return x, (~jnp.isfinite(x)).any(range(1, x.ndim)).sum()
