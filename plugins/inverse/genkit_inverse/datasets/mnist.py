"""MNIST by its 10 000 test images, or all of MNIST or Fashion-MNIST from a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.data import fetch, find_idx, local, read_idx
from genkit.errors import DataError
from genkit_inverse.images import Images, split

FILE = "images/t10k-images-idx3-ubyte.gz"
SHA256 = "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
URL = "https://github.com/fgnt/mnist/raw/master/t10k-images-idx3-ubyte.gz"
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
HELD = 500  # images for validation, at most


@dataclass(frozen=True)
class MNIST:
    """MNIST (LeCun, Cortes and Burges), 28 x 28 x 1 in [-1, 1]: its 10 000 test images as 9000, 500 and 500.

    The file of 1.6 MB is looked for in GENKIT_DATA, then in the cache, then fetched. With `folder` all of MNIST, of
    Fashion-MNIST, or of other idx files of these names: the test images are those of t10k.
    """

    suggests: ClassVar[dict[str, Any]] = {
        "network.patch": 2,
        "steps": 1000,
        "images": 6,
        "draws": 6,
        "particles": 6,
        "operators.1.factor": 4,
        "operators.2.std": 2.0,
    }

    folder: Path | None = None
    """Where train-images-idx3-ubyte and t10k-images-idx3-ubyte are, plain or .gz."""

    def path(self) -> Path | None:
        """The folder or the file, where it is on this machine."""
        if self.folder is not None:
            return self.folder if self.folder.exists() else None
        return local(FILE, SHA256)

    def load(self) -> Images:
        """Grey levels 0 to 255 to -1 to 1."""
        if self.folder is None:
            return split(_grey(fetch(FILE, SHA256, URL)), HELD, HELD, range=(-1.0, 1.0))
        train, test = (_grey(find_idx(self.folder, stem)) for stem in (TRAIN, TEST))
        if len(train) < 2:
            raise DataError(f"{self.folder}: {TRAIN} has {len(train)} images; expected 2 or more")
        train = train[np.random.default_rng(0).permutation(len(train))]
        held = min(HELD, max(1, len(train) // 10))
        return Images(train[held:], train[:held], test, range=(-1.0, 1.0))


def _grey(file: Path) -> np.ndarray:
    """(n, h, w, 1) in [-1, 1]."""
    pixels = read_idx(file)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DataError(f"{file} has {pixels.dtype} of shape {pixels.shape}; expected bytes, images (n, h, w)")
    return pixels[..., None].astype(np.float32) / 127.5 - 1
