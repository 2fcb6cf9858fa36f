"""Own images: a folder of pictures and arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.errors import DataError, UsageError
from genkit_inverse.images import Images
from genkit_inverse.pictures import CHANNELS, ENDINGS, LUMA, read_array, read_picture, said

ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Folder:
    """Own images: PNG, JPEG and .npy in a folder and those below it, as squares in [-1, 1].

    An array is one image (h, w) or (h, w, c), or many (n, h, w) or (n, h, w, c); of whole numbers of 8 bits 255 is
    white. Training, validation and test have images of their own, in an order drawn once.
    """

    suggests: ClassVar[dict[str, Any]] = {"network.patch": 2, "network.multipliers": (1, 2, 2)}

    path: str = "images"
    """a folder, or a file of many images"""
    size: int = 64
    """rows and columns of the images that are given"""
    colour: bool = False
    """three channels; else grey, .299 red + .587 green + .114 blue"""
    patches: int = 0
    """squares of each image at full resolution, at places drawn once; 0 takes the middle square, made smaller"""
    white: float = 1.0
    """of arrays of fractions, whose black is 0"""
    val: float = 0.1
    """share of the images for validation"""
    test: float = 0.1
    """share of the images for the test"""
    seed: int = 0
    """of the order and of the places"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.size < 2:
            raise UsageError(f"size={self.size} is too small; expected at least 2")
        if not (self.val > 0 and self.test > 0 and self.val + self.test < 1):
            raise UsageError(f"val={self.val}, test={self.test}; expected positive shares, together below 1")
        if not self.white > 0:
            raise UsageError(f"white={self.white} must be positive")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(size, size, 1 or 3), of the images."""
        return self.size, self.size, 3 if self.colour else 1

    def load(self) -> Images:
        """Images (n, size, size, 1 or 3); of those in the files one at a time is kept."""
        each = (one for file in self.files() for one in self._read(file))
        found = [
            self._squares(name, image, np.random.default_rng((self.seed, i))) for i, (name, image) in enumerate(each)
        ]
        if len(found) < 3:
            raise DataError(
                f"{self.path} has {len(found)} images; expected at least 3, for training, validation and test"
            )
        val, test = (max(1, round(share * len(found))) for share in (self.val, self.test))
        order = np.random.default_rng(self.seed).permutation(len(found))
        parts = order[:val], order[val : val + test], order[val + test :]
        if not len(parts[2]):
            raise DataError(
                f"{self.path} has {len(found)} images, of which none is left for training; give smaller shares"
            )
        val_set, test_set, train = (np.concatenate([found[i] for i in part]) for part in parts)
        return Images(train, val_set, test_set, range=(-1.0, 1.0))

    def files(self) -> list[Path]:
        """Those that are read, by name; hidden ones are left out."""
        root = Path(self.path).expanduser()
        if root.is_file():
            return [root]
        if not root.is_dir():
            raise DataError(f"{root} does not exist; give the folder of your images by --data.path FOLDER")
        known = sorted(p for p in root.rglob("*") if p.suffix.lower() in (*ENDINGS, *ARRAYS) and p.is_file())
        known = [p for p in known if not any(part.startswith(".") for part in p.relative_to(root).parts)]
        if not known:
            raise DataError(f"{root} has no images; expected files that end in {', '.join((*ENDINGS, *ARRAYS))}")
        return known

    def _read(self, file: Path) -> Iterator[tuple[str, np.ndarray]]:
        """Images (h, w, 1 or 3) in [0, 1], with their names."""
        if file.suffix.lower() not in ARRAYS:
            yield str(file), self._channels(read_picture(file)).astype(np.float32)
            return
        array = read_array(file)
        if not np.isfinite(array).all():
            raise DataError(f"{file} has NaN or infinite numbers; leave such images out")
        if np.iscomplexobj(array):
            raise DataError(f"{file} is complex; expected grey levels")
        one = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in CHANNELS)
        images = array[None] if one else array
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim != 4 or images.shape[-1] not in CHANNELS:
            raise DataError(f"{file} has shape {array.shape}; expected (h, w), (h, w, 1 or 3) or n of these")
        white = 255.0 if array.dtype == np.uint8 else 1.0 if array.dtype == bool else self.white
        if array.min() < 0 or array.max() > white:
            raise DataError(
                f"{file} has values from {array.min():g} to {array.max():g}; expected 0 to {white:g}, what is white is "
                "said by --data.white"
            )
        for i, image in enumerate(images):
            yield f"{file}[{i}]", self._channels(image / white).astype(np.float32)

    def _channels(self, image: np.ndarray) -> np.ndarray:
        if self.colour:
            return np.broadcast_to(image, (*image.shape[:2], 3))
        return image if image.shape[-1] == 1 else (image @ LUMA)[..., None]

    def _squares(self, name: str, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(patches or 1, size, size, c) in [-1, 1]."""
        h, w = image.shape[:2]
        if min(h, w) < self.size:
            raise DataError(f"{name} is {said(image.shape)}; expected at least {self.size} x {self.size}")
        if self.patches:
            places = zip(*(rng.integers(0, n - self.size + 1, self.patches) for n in (h, w)), strict=True)
            squares = [image[i : i + self.size, j : j + self.size] for i, j in places]
        else:
            side = min(h, w)
            i, j = (h - side) // 2, (w - side) // 2
            squares = [_smaller(image[i : i + side, j : j + side], self.size)]
        return 2 * np.stack(squares) - 1


def _smaller(image: np.ndarray, size: int) -> np.ndarray:
    """A square image (n, n, c) as (size, size, c): the mean over the area of each new cell."""
    n = len(image)
    edges = np.linspace(0, n, size + 1)
    cover = np.minimum(edges[1:, None], np.arange(1, n + 1)) - np.maximum(edges[:-1, None], np.arange(n))
    rows = (np.maximum(cover, 0) * size / n).astype(np.float32)
    return np.einsum("ai,ijc,bj->abc", rows, image, rows, optimize=True)
