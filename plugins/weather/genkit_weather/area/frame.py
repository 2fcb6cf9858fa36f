"""Frame and interior of a limited area as two arrays, so that neither can leak into the other.

A frame of (fy, fx) cells is a row of cells in the order: rows above, rows below, left block, right block. All
functions work on numpy and jax arrays with any leading axes; images are (..., H, W, C), frames (..., cells, C).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np


def interior_of(image: Any, frame: tuple[int, int]) -> Any:
    """The cells inside the frame: (..., H, W, C) -> (..., H - 2 fy, W - 2 fx, C)."""
    (fy, fx), (h, w) = frame, image.shape[-3:-1]
    return image[..., fy : h - fy, fx : w - fx, :]


def frame_of(image: Any, frame: tuple[int, int]) -> Any:
    """The cells of the frame: (..., H, W, C) -> (..., cells, C)."""
    (fy, fx), (h, w) = frame, image.shape[-3:-1]
    parts = [image[..., :fy, :, :], image[..., h - fy :, :, :]]
    parts += [image[..., fy : h - fy, :fx, :], image[..., fy : h - fy, w - fx :, :]]
    flat = [p.reshape(*p.shape[:-3], p.shape[-3] * p.shape[-2], p.shape[-1]) for p in parts]
    return (jnp if isinstance(image, jnp.ndarray) else np).concatenate(flat, -2)


def join(cells, interior, frame: tuple[int, int]):
    """The image (..., H, W, C) of a frame (..., cells, C) and an interior (..., h, w, C)."""
    (fy, fx), (h, w) = frame, interior.shape[-3:-1]
    lead, c = interior.shape[:-3], interior.shape[-1]
    xp = jnp if isinstance(interior, jnp.ndarray) else np
    wide = w + 2 * fx
    cuts = np.cumsum([fy * wide, fy * wide, h * fx])
    top, bottom, left, right = xp.split(cells, cuts, axis=-2)
    left, right = (a.reshape(*lead, h, fx, c) for a in (left, right))
    top, bottom = (a.reshape(*lead, fy, wide, c) for a in (top, bottom))
    middle = xp.concatenate([left, interior, right], -2)
    return xp.concatenate([top, middle, bottom], -3)


def frame_size(grid: tuple[int, int], frame: tuple[int, int]) -> int:
    """Number of cells in the frame."""
    (h, w), (fy, fx) = grid, frame
    return h * w - (h - 2 * fy) * (w - 2 * fx)
