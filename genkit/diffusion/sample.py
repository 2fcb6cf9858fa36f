"""Sampling as one compiled program."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import Model, callable_tree, draw
from genkit.diffusion.denoiser import Denoiser, process_of
from genkit.errors import GenkitError, UsageError

Array = jax.Array


class Sampler(Protocol):
    """An algorithm that turns noise into data, given a denoiser; or the table of its coefficients."""

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
        sampler: such as `Heun(...)`, or its `table(process)`.
        denoiser: (x (n, ...), t (), cond) -> E[x_0 | x_t].
        shape: (n, ...) of the samples.
        cond: pytree of leaves (n, ...), one condition per sample, or None.
        slots: (n,) or (n, k) int, places of these samples in a larger whole; a draw in chunks equals one draw.
        noise: standard normal z of `shape` to begin with, in place of a draw, where the sampler's `model`
            takes it.

    Raises:
        UsageError: cond or noise without the shape's batch, or a denoiser that returns another shape.
        GenkitError: outside jit, samples that are not finite.
    """
    shape = tuple(shape)
    if noise is not None and noise.shape != shape:
        raise UsageError(f"noise has shape {noise.shape}; expected that of the samples, {shape}")
    options = {} if noise is None else {"noise": noise}
    model = sampler.model(callable_tree(denoiser), shape, cond, **options)
    x = draw(key, model, shape[0], cond, slots).x
    if not isinstance(x, Tracer) and (bad := int(np.asarray(_not_finite(x)).sum())):
        raise GenkitError(
            f"{bad} of {shape[0]} samples are not finite: the denoiser returned NaN or infinity on the way, or a "
            "solver with steps of adaptive size did not reach the end; check the denoiser's parameters, and that the "
            "noise levels are those it was trained for"
        )
    return x


def invert(sampler: Any, denoiser: Denoiser, x: Array, cond: Any = None, key: Array | None = None) -> Array:
    """Noise z of the shape of x from which `sample(..., noise=z)` comes back to x: DDIM inversion, by any sampler.

    The sampler's steps on the probability-flow ODE are taken from the data, as the state at the lowest level, up to the
    highest; z times that level is the state there (Song et al. 2021, arXiv 2010.02502, section 4.3). Under another
    condition, or from a lower `sigma_max`, `sample` then gives a variation of x. To begin with fresh noise instead
    (SDEdit: Meng et al. 2022, arXiv 2108.01073) needs no inversion: `noise=x / sigma_max + z`.

    Args:
        sampler: one without noise, such as `Euler(...)` (DDIM) or `DPMpp2M(...)`. `EulerMaruyama` draws z instead, by
            its SDE towards noise, whose states have the law of the data's at each level (arXiv 2512.00252): exactly at
            lam = 1, below it to the order of the steps.
        denoiser: (x (n, ...), t (), cond) -> E[x_0 | x_t].
        x: data (n, ...).
        cond: pytree of leaves (n, ...), or None.
        key: of the noise of such an SDE.

    Raises:
        UsageError: a sampler that adds noise and has no way back, or no key for one that has.
    """
    process = process_of(denoiser)
    table = sampler.inversion(process)
    if key is None and table.steps.noise is not None and (table.steps.noise > 0).any():
        raise UsageError(f"{sampler} draws noise on its way back; give invert a key")
    low, high = table.time, table.steps.time[-1, -1]
    model = table.model(callable_tree(denoiser), x.shape, cond, x * (process.alpha(low) / table.std))
    return draw(jax.random.key(0) if key is None else key, model, x.shape[0], cond).x / process.sigma(high)


@jax.jit
def _not_finite(x: Array) -> Array:
    return (~jnp.isfinite(x)).any(range(1, x.ndim))
