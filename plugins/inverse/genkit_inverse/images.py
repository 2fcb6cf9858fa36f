"""What the data sets of images here give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit.errors import DataError


@dataclass(frozen=True)
class Images:
    """Images (n, h, w, c) float32 in three sets, and their law where it is known."""

    train: np.ndarray
    val: np.ndarray
    """to choose options on"""
    test: np.ndarray
    range: tuple[float, float] | None = None
    """lowest and highest value, where there are bounds"""
    prior: Any = None
    """the exact denoiser, with `posterior(observation)`, where the law is known"""

    def __post_init__(self) -> None:
        """Check the arrays."""
        for name in ("train", "val", "test"):
            images = getattr(self, name)
            if images.ndim != 4 or images.shape[1:] != self.shape or not len(images):
                raise DataError(f"{name} images have shape {images.shape}; expected (n, *{self.shape}), n > 0")
            if not np.isfinite(images).all():
                raise DataError(f"{name} images have NaN or infinite values; expected finite numbers")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self.train.shape[1:]

    @property
    def bounds(self) -> tuple[float, float]:
        """The range, or that of the training images."""
        return self.range or (float(self.train.min()), float(self.train.max()))

    @property
    def peak(self) -> float:
        """Width of the bounds."""
        low, high = self.bounds
        return high - low


@dataclass(frozen=True)
class Bits:
    """Images (n, h, w) int32 of 0 and 1 in two sets."""

    train: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        """Check the arrays."""
        for name in ("train", "test"):
            images = getattr(self, name)
            if images.ndim != 3 or images.shape[1:] != self.shape or not np.isin(images, (0, 1)).all():
                raise DataError(f"{name} images have shape {images.shape}; expected (n, *{self.shape}) of 0 and 1")

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        return self.train.shape[1:]


def split(images: np.ndarray, val: int, test: int, **options: Any) -> Images:
    """The three sets in an order drawn once; `val` and `test` count images."""
    images = images[np.random.default_rng(0).permutation(len(images))]
    return Images(images[val + test :], images[:val], images[val : val + test], **options)
