"""Power spectra of two-dimensional fields, binned by total wavenumber."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


class Spectrum(NamedTuple):
    """`power` (..., K) in bins at `frequency` (K,), cycles per cell; the wavelength is 1 / frequency cells.

    The powers sum to the variance of the field. Bins beyond 0.5 cycles per cell hold only the corners of the
    wavenumber plane.
    """

    frequency: np.ndarray
    power: Array


def dct_spectrum(field: ArrayLike) -> Spectrum:
    """Variance spectrum of fields (..., y, x) of a limited area by the cosine transform (Denis et al. 2002).

    A cosine transform mirrors the field instead of repeating it, so a large-scale gradient across the area
    does not leak into the small scales. Bin k = 1, 2, ... collects the modes with k <= alpha N < k + 1,
    alpha^2 = (m / N_y)^2 + (n / N_x)^2, N the shorter side; k half waves fit into it.
    """
    field = jnp.asarray(field)
    height, width = field.shape[-2:]
    short = _shorter(height, width)
    modes = jnp.einsum("my,...yx,nx->...mn", _cosines(height), field, _cosines(width), precision="highest")
    power = jnp.square(modes) / (height * width)
    m, n = np.arange(height)[:, None] * (short / height), np.arange(width) * (short / width)
    return _binned(power, np.floor(np.hypot(m, n) + 1e-9).astype(int), 0.5 / short)


def log_ratio(power: ArrayLike, reference: ArrayLike) -> Array:
    """log10(power / reference); -1 is a tenth of the variance. Average both over cases before."""
    return jnp.log10(jnp.asarray(power) / jnp.asarray(reference))


def _shorter(height: int, width: int) -> int:
    """The shorter side; on a line of cells the only one."""
    return min((n for n in (height, width) if n > 1), default=1)


def _cosines(n: int) -> np.ndarray:
    """Orthonormal DCT-II matrix (mode, cell); a product compiles faster than a transform and is as exact."""
    mode, cell = np.arange(n)[:, None], np.arange(n) + 0.5
    matrix = np.cos(np.pi * mode * cell / n) * (2 / n) ** 0.5
    matrix[0] /= 2**0.5
    return matrix.astype(np.float32)


def _binned(power: Array, bins: np.ndarray, step: float) -> Spectrum:
    # On a long area the longest waves fall below k = 1: they belong to the first bin, only the mean to none.
    bins = np.maximum(bins, 1)
    bins[0, 0] = 0
    count = int(bins.max()) + 1
    flat = power.reshape(*power.shape[:-2], -1)
    total = jnp.zeros((*flat.shape[:-1], count), flat.dtype).at[..., bins.ravel()].add(flat)
    return Spectrum(np.arange(1, count) * step, total[..., 1:])
