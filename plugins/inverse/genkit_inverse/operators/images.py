"""The usual tasks on images (h, w, c), each a frozen dataclass whose `build(shape)` is the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from genkit.errors import DataError, UsageError
from genkit.kinds import SIGNED
from genkit.steer import LinearOperator, Mask, check_matrix, dense, mask
from genkit_inverse.operators.maps import convolution, kronecker
from genkit_inverse.operators.task import Task, check_share
from genkit_inverse.pictures import LUMA, read_numbers, said


@dataclass(frozen=True)
class Inpainting(Task):
    """What a mask of your own hides: a picture of it, or an array."""

    mask: Path | None = None
    """Picture or .npy (h, w) or (h, w, c): bright (true, above .5) where the image is seen; the file must be given."""
    hidden: Literal["dark", "bright"] = "dark"
    """What of the mask is hidden."""

    def build(self, shape: Sequence[int]) -> Mask:
        """A mask without channels is that of all."""
        h, w, c = shape
        if self.mask is None:
            raise UsageError("the operator inpaint needs a mask, a picture or .npy file: --operator.mask FILE")
        found = read_numbers(self.mask)
        found = found[..., None] if found.ndim == 2 else found
        found = found / 255 if found.dtype == np.uint8 and found.max() > 1 else found
        if found.ndim == 3 and (found == found[..., :1]).all():
            found = found[..., :1]
        if found.shape[:-1] != (h, w) or found.shape[-1] not in (1, c) or np.iscomplexobj(found):
            raise DataError(f"the mask {self.mask} is {said(found.shape)}; expected {h} x {w}, the size of the images")
        if not np.isfinite(found).all():
            raise DataError(f"the mask {self.mask} has NaN or infinite numbers; expected true and false, or 0 to 1")
        bright = found > 0.5
        return mask(np.broadcast_to(bright if self.hidden == "dark" else ~bright, (h, w, c)))


@dataclass(frozen=True)
class BoxInpainting(Task):
    """A box in the middle is hidden."""

    share: float = 0.5
    """Side of the box over that of the image."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """All channels of a cell are hidden or none."""
        check_share(self.share)
        seen = np.ones(tuple(shape), bool)
        box = [slice(*(round(n * (1 + sign * self.share) / 2) for sign in (-1, 1))) for n in shape[:2]]
        seen[tuple(box)] = False
        return mask(seen)


@dataclass(frozen=True)
class RandomInpainting(Task):
    """Random cells are hidden."""

    share: float = 0.7
    """Of the cells that are hidden."""
    seed: int = 0
    """Which ones."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """All channels of a cell are hidden or none."""
        check_share(self.share)
        h, w, c = shape
        hidden = np.random.default_rng(self.seed).permutation(h * w) < round(self.share * h * w)
        return mask(np.broadcast_to(~hidden.reshape(h, w, 1), (h, w, c)))


@dataclass(frozen=True)
class HalfInpainting(Task):
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
class SuperResolution(Task):
    """An image of fewer cells: means of blocks, or Pillow's bicubic filter, as most pictures are made smaller."""

    factor: int = 4
    """Side of a block."""
    filter: Literal["mean", "bicubic"] = "mean"
    """What a cell of the small image is."""

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The small image."""
        return shape[0] // self.factor, shape[1] // self.factor, shape[2]

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """Means along rows, then along columns."""
        if self.factor < 1 or shape[0] % self.factor or shape[1] % self.factor:
            raise UsageError(f"blocks of side {self.factor} do not tile an image of {shape[0]} x {shape[1]}")
        rows, columns = (_smaller(n, self.factor, self.filter) for n in shape[:2])
        return kronecker(rows, columns, np.eye(shape[2]))


@dataclass(frozen=True)
class GaussianBlur(Task):
    """A Gaussian kernel, mirrored at the edges."""

    std: float = 3.0
    """Of the kernel, in cells."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """The kernel is separable."""
        if self.std <= 0:
            raise UsageError(f"std={self.std} of the blur must be positive")
        return kronecker(*(_blur(n, self.std) for n in shape[:2]), np.eye(shape[2]))


@dataclass(frozen=True)
class MotionBlur(Task):
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
class Blur(Task):
    """A kernel of your own, with the image continued periodically."""

    kernel: Path | None = None
    """.npy (a, b) or a grey picture, about its cell (a // 2, b // 2); the file must be given."""
    normalised: bool = True
    """Divide by the sum of the kernel."""

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """The same kernel for all channels."""
        if self.kernel is None:
            raise UsageError("the operator blur needs a kernel, a .npy file or a picture: --operator.kernel FILE")
        found = read_numbers(self.kernel)
        found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
        if found.ndim != 2 or np.iscomplexobj(found) or not np.isfinite(found).all():
            raise DataError(f"the kernel {self.kernel} is {said(found.shape)}; expected finite numbers (a, b), or grey")
        total = found.sum()
        if self.normalised and abs(total) <= 1e-6 * np.abs(found).sum():
            raise DataError(f"the kernel {self.kernel} has the sum {total:g}; give --operator.normalised False")
        return convolution(found / total if self.normalised else found, shape)


@dataclass(frozen=True)
class Colourisation(Task):
    """The mean of the channels is seen, or their brightness."""

    weights: Literal["mean", "luma"] = "mean"
    """luma is .299 red + .587 green + .114 blue, the grey of Pillow and of JPEG."""

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """In grey."""
        return *shape[:2], 1

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """One number a cell."""
        h, w, c = shape
        if self.weights == "luma" and c != 3:
            raise UsageError(f"weights=luma of {c} channels; expected red, green and blue")
        row = LUMA[None] if self.weights == "luma" else np.ones((1, c)) / c
        return kronecker(np.eye(h), np.eye(w), row)


@dataclass(frozen=True)
class Tomography(Task):
    """Sums along parallel rays from several sides, as a dense matrix: for small images of one channel."""

    picture = False

    angles: int = 12
    """Directions, evenly spaced over half a turn."""

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(angles, bins of the detector)."""
        return self.angles, int(np.ceil(np.hypot(shape[0], shape[1]))) + 2

    def build(self, shape: Sequence[int]) -> LinearOperator:
        """A detector as wide as the diagonal; each cell is shared between the two bins that are nearest."""
        h, w, c = shape
        if c != 1 or self.angles < 1:
            raise UsageError(f"{c} channels and {self.angles} angles; expected one channel and at least one angle")
        y, x = (a.ravel() for a in np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij"))
        bins = self.layout(shape)[1]
        check_matrix(self.angles * bins, h * w, "take fewer angles, or smaller images")
        matrix = np.zeros((self.angles, bins, h * w))
        for k, theta in enumerate(np.pi * np.arange(self.angles) / self.angles):
            place = x * np.cos(theta) + y * np.sin(theta) + (bins - 1) / 2
            low = np.floor(place).astype(int)
            matrix[k, low, np.arange(h * w)] += low + 1 - place
            matrix[k, low + 1, np.arange(h * w)] += place - low
        return dense(matrix.reshape(-1, h * w), shape)


def _blur(n: int, std: float) -> np.ndarray:
    """Blur of n cells, (n, n), rows of sum 1."""
    reach = np.arange(-int(np.ceil(4 * std)), int(np.ceil(4 * std)) + 1)
    weights = np.exp(-0.5 * (reach / std) ** 2)
    matrix = np.zeros((n, n))
    for i in range(n):
        place = (i + reach) % (2 * n)
        np.add.at(matrix[i], np.where(place < n, place, 2 * n - 1 - place), weights / weights.sum())
    return matrix


def _smaller(n: int, factor: int, filter: str) -> np.ndarray:
    """(n / factor, n), rows of sum 1. Bicubic: Keys's kernel with a = -1/2, stretched, cut at the edges."""
    if filter == "mean":
        return np.kron(np.eye(n // factor), np.ones(factor) / factor)
    place = (np.arange(n // factor)[:, None] + 0.5) * factor - 0.5
    x = np.abs(np.arange(n) - place) / factor
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)
