"""Handwritten digits as images, with a long tail by option."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from genkit.data import fetch, local, read_idx
from genkit.errors import UsageError
from genkit_representations.data import Samples

IMAGES = "images/t10k-images-idx3-ubyte.gz"
IMAGES_SHA256 = "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
LABELS = "images/t10k-labels-idx1-ubyte.gz"
LABELS_SHA256 = "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
SOURCE = "https://raw.githubusercontent.com/fgnt/mnist/master/"


@dataclass(frozen=True)
class Digits:
    """1797 digits of 8 x 8 pixels, which come with scikit-learn (UCI optical digits); a third is for testing."""

    tail: float = 1.0
    """Size of the rarest class over that of the commonest in training; sizes fall geometrically."""
    seed: int = 0
    """of the split"""

    def load(self) -> Samples:
        """Grey values 0 to 16 as 0 to 1."""
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        images = (np.asarray(x) / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        return long_tailed(images, np.asarray(y), 1 / 3, self.tail, self.seed)


@dataclass(frozen=True)
class MNIST:
    """The 10 000 test images of MNIST, 28 x 28; a fifth is for testing."""

    suggests: ClassVar[dict[str, Any]] = {"views.size": 28, "views.small_size": 12}

    tail: float = 1.0
    """Size of the rarest class over that of the commonest in training; sizes fall geometrically."""
    seed: int = 0
    """of the split"""

    def path(self) -> Path | None:
        """The file of the images, where it is here already."""
        return local(IMAGES, IMAGES_SHA256)

    def load(self) -> Samples:
        """Grey values 0 to 255 as 0 to 1."""
        images = read_idx(fetch(IMAGES, IMAGES_SHA256, SOURCE + Path(IMAGES).name))
        labels = read_idx(fetch(LABELS, LABELS_SHA256, SOURCE + Path(LABELS).name)).astype(int)
        return long_tailed((images / 255).astype(np.float32)[..., None], labels, 0.2, self.tail, self.seed)


def long_tailed(x: np.ndarray, y: np.ndarray, test: float, tail: float, seed: int) -> Samples:
    """Split off a share for testing; class c of C keeps tail^(c / (C - 1)) of its training samples."""
    if not 0 < tail <= 1:
        raise UsageError(f"tail={tail}; expected 0 < tail <= 1, which keeps all")
    order = np.random.default_rng(seed).permutation(len(x))
    cut = round(test * len(x))
    held, rest = order[:cut], order[cut:]
    classes, kept = np.unique(y), []
    for c, label in enumerate(classes):
        rows = rest[y[rest] == label]
        kept.append(rows[: max(1, round(len(rows) * tail ** (c / max(len(classes) - 1, 1))))])
    train = np.concatenate(kept)
    return Samples(x[train], y[train], x[held], y[held])
