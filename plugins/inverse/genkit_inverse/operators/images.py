"""The usual tasks on images (h, w, c), each a frozen dataclass whose `build(shape)` is the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import SIGNED
from genkit.steer import LinearOperator, dense, mask
from genkit_inverse.operators.maps import convolution, kronecker


@dataclass(frozen=True)
class BoxInpainting:
    """A box in the middle is hidden."""

    share: float = 0.5
    """Side of the box over that of the image."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """All channels of a cell are hidden or none."""
        _check_share(self.share)
        seen = np.ones(tuple(shape), bool)
        box = [slice(*(round(n * (1 + sign * self.share) / 2) for sign in (-1, 1))) for n in shape[:2]]
        seen[tuple(box)] = False
        return mask(seen)


@dataclass(frozen=True)
class RandomInpainting:
    """Random cells are hidden."""

    share: float = 0.7
    """Of the cells that are hidden."""
    seed: int = 0
    """Which ones."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """All channels of a cell are hidden or none."""
        _check_share(self.share)
        h, w, c = shape
        hidden = np.random.default_rng(self.seed).permutation(h * w) < round(self.share * h * w)
        return mask(np.broadcast_to(~hidden.reshape(h, w, 1), (h, w, c)))


@dataclass(frozen=True)
class HalfInpainting:
    """One half is hidden."""

    hidden: Literal["left", "right", "top", "bottom"] = "right"
    """Which one."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """The other half is seen."""
        h, w, _ = shape
        halves = {
            "left": np.s_[:, : w // 2], "right": np.s_[:, w // 2 :], "top": np.s_[: h // 2], "bottom": np.s_[h // 2 :],
        }  # fmt: skip
        seen = np.ones(tuple(shape), bool)
        seen[halves[self.hidden]] = False
        return mask(seen)


@dataclass(frozen=True)
class SuperResolution:
    """Means of blocks."""

    factor: int = 4
    """Side of a block."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """Means along rows, then along columns."""
        if self.factor < 1 or shape[0] % self.factor or shape[1] % self.factor:
            raise UsageError(f"blocks of side {self.factor} do not tile an image of {shape[0]} x {shape[1]}")
        rows, columns = (np.kron(np.eye(n // self.factor), np.ones(self.factor) / self.factor) for n in shape[:2])
        return kronecker(rows, columns, np.eye(shape[2]))


@dataclass(frozen=True)
class GaussianBlur:
    """A Gaussian kernel, mirrored at the edges."""

    std: float = 3.0
    """Of the kernel, in cells."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """The kernel is separable."""
        if self.std <= 0:
            raise UsageError(f"std={self.std} of the blur must be positive")
        return kronecker(*(_blur(n, self.std) for n in shape[:2]), np.eye(shape[2]))


@dataclass(frozen=True)
class MotionBlur:
    """The mean along a line, with the image continued periodically."""

    length: int = 9
    """Of the line, in cells."""
    angle: Annotated[float, SIGNED] = 30.0
    """Of the line to the horizontal, in degrees."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """Points of the line are shared between the four cells around them."""
        if self.length < 1:
            raise UsageError(f"length={self.length} of the blur is too small; expected at least 1")
        half = self.length // 2 + 1
        along = np.linspace(-(self.length - 1) / 2, (self.length - 1) / 2, 8 * self.length)
        kernel = np.zeros((2 * half + 1, 2 * half + 1))
        points = half + along[:, None] * [-np.sin(np.deg2rad(self.angle)), np.cos(np.deg2rad(self.angle))]
        low = np.floor(points).astype(int)
        for di in (0, 1):
            for dj in (0, 1):
                weight = np.abs(1 - np.array([di, dj]) - (points - low)).prod(1)
                np.add.at(kernel, tuple((low + [di, dj]).T), weight)
        return convolution(kernel / kernel.sum(), shape)


@dataclass(frozen=True)
class Colourisation:
    """The mean of the channels is seen."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """One number a cell."""
        h, w, c = shape
        return kronecker(np.eye(h), np.eye(w), np.ones((1, c)) / c)


@dataclass(frozen=True)
class Tomography:
    """Sums along parallel rays from several sides, as a dense matrix: for small images of one channel."""

    angles: int = 12
    """Directions, evenly spaced over half a turn."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """A detector as wide as the diagonal; each cell is shared between the two bins that are nearest."""
        h, w, c = shape
        if c != 1 or self.angles < 1:
            raise UsageError(f"{c} channels and {self.angles} angles; expected one channel and at least one angle")
        y, x = (a.ravel() for a in np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij"))
        bins = int(np.ceil(np.hypot(h, w))) + 2
        matrix = np.zeros((self.angles, bins, h * w))
        for k, theta in enumerate(np.pi * np.arange(self.angles) / self.angles):
            place = x * np.cos(theta) + y * np.sin(theta) + (bins - 1) / 2
            low = np.floor(place).astype(int)
            matrix[k, low, np.arange(h * w)] += low + 1 - place
            matrix[k, low + 1, np.arange(h * w)] += place - low
        return dense(matrix.reshape(-1, h * w), shape)


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise UsageError(f"share={share} must lie between 0 and 1")


def _blur(n: int, std: float) -> np.ndarray:
    """Blur of n cells, (n, n), rows of sum 1."""
    reach = np.arange(-int(np.ceil(4 * std)), int(np.ceil(4 * std)) + 1)
    weights = np.exp(-0.5 * (reach / std) ** 2)
    matrix = np.zeros((n, n))
    for i in range(n):
        place = (i + reach) % (2 * n)
        np.add.at(matrix[i], np.where(place < n, place, 2 * n - 1 - place), weights / weights.sum())
    return matrix
