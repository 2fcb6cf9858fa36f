"""The training losses of Diffusion-LAM."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDMDenoiser, Noise, denoising_loss
from genkit_weather.lam.domain import Domain, Inputs
from genkit_weather.lam.examples import Batch
from genkit_weather.lam.model import MeanModel, denoising_problem


@dataclass(frozen=True)
class Augmentation:
    """Noise on the past interior states in training, so that a rollout's own errors are no surprise.

    With probability `probability` an item gets N(0, s^2) noise on both states, ln s uniform between `low` and
    `high` in units of the std of one-step differences. The errors of the two states are correlated by sqrt(1/2), as
    those of a rollout are. The target starts from the noisy state, as a rollout does.
    """

    probability: float = 0.0
    """share of items that get noise"""
    low: float = 0.02
    """least level"""
    high: float = 0.2
    """greatest level"""
    length: int = 1
    """cells over which the noise is correlated; 1 is white noise"""


def augment(key: jax.Array, domain: Domain, inputs: Inputs, how: Augmentation) -> Inputs:
    """The inputs with noise on `prev` and `before`; see `Augmentation`."""
    if how.probability == 0.0:
        return inputs
    k_level, k_choice, *keys = jax.random.split(key, 4)
    shape = (inputs.prev.shape[0], 1, 1, 1)
    level = jnp.exp(jax.random.uniform(k_level, shape, minval=jnp.log(how.low), maxval=jnp.log(how.high)))
    level = level * jax.random.bernoulli(k_choice, how.probability, shape) * domain.diff_std
    own, common = (smooth_noise(k, inputs.prev.shape, how.length) for k in keys)
    return replace(inputs, prev=inputs.prev + level * common, before=inputs.before + level * (own + common) * 0.5**0.5)


def smooth_noise(key: jax.Array, shape: tuple[int, ...], length: int) -> jax.Array:
    """Gaussian noise (n, h, w, V) of unit variance in every cell, correlated over about `length` cells.

    White noise on a grid `length` times coarser, interpolated linearly and divided by its standard deviation.
    """
    n, h, w, v = shape
    if length <= 1:
        return jax.random.normal(key, shape)
    rows, columns = (_interpolation(size, length) for size in (h, w))
    coarse = jax.random.normal(key, (n, rows.shape[1], columns.shape[1], v))
    return jnp.einsum("ia,nabv,jb->nijv", rows, coarse, columns)


def _interpolation(size: int, length: int) -> np.ndarray:
    """(size, coarse) linear interpolation from every `length` cells, rows of unit Euclidean norm."""
    place = np.arange(size) / length
    coarse = np.arange(-(-(size - 1) // length) + 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - coarse))
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def diffusion_loss(
    key: jax.Array,
    domain: Domain,
    denoiser: EDMDenoiser,
    batch: Batch,
    noise: Noise,
    *,
    weight=None,
    mean: MeanModel | None = None,
    augmentation: Augmentation = Augmentation(),
    dropout: bool = True,
) -> jax.Array:
    """Denoising loss of the residual target, mean over items, interior cells and variables; 1 at F = 0 on unit data.

    Args:
        key: for augmentation, dropout, levels and noise.
        domain: statistics and fixed fields.
        denoiser: of the residual.
        batch: steps with their outcome.
        noise: distribution of the noise level.
        weight: (V,) weights of the variables, or (h, w, V) of cells too; all ones by default.
        mean: the first stage where there are two.
        augmentation: noise on the past states.
        dropout: False for validation.
    """
    k_augment, k_dropout, k_loss = jax.random.split(key, 3)
    inputs = augment(k_augment, domain, batch.inputs, augmentation)
    cond, y = denoising_problem(domain, mean, inputs, batch.truth, k_dropout if dropout else None)
    return denoising_loss(k_loss, denoiser, y, cond, noise, weight)


def mean_loss(
    key: jax.Array,
    domain: Domain,
    mean: MeanModel,
    batch: Batch,
    *,
    weight=None,
    augmentation: Augmentation = Augmentation(),
    dropout: bool = True,
) -> jax.Array:
    """Squared error of the first stage in units of the residual target; arguments as in `diffusion_loss`."""
    k_augment, k_dropout = jax.random.split(key)
    inputs = augment(k_augment, domain, batch.inputs, augmentation)
    cond, y = denoising_problem(domain, None, inputs, batch.truth, k_dropout if dropout else None)
    error = jnp.square(mean(cond) - y)
    return (error if weight is None else error * weight).mean()


def mean_error(domain: Domain, mean: MeanModel, batch: Batch) -> jax.Array:
    """(V,) mean squared error of the first stage; the root over validation batches is its `scale`."""
    cond, y = denoising_problem(domain, None, batch.inputs, batch.truth)
    return jnp.square(mean(cond) - y).mean((0, 1, 2))


def guess_error(key: jax.Array, domain: Domain, denoiser: EDMDenoiser, batch: Batch, level: float = 80.0) -> jax.Array:
    """(V,) mean squared error of one call at a high noise level, where the denoiser can only tell the mean.

    Its root over validation batches is the conditional std of the target: a good `sigma_data`.
    """
    cond, y = denoising_problem(domain, None, batch.inputs, batch.truth)
    x = level * jax.random.normal(key, y.shape)
    return jnp.square(denoiser(x, jnp.float32(level), cond) - y).mean((0, 1, 2))
