"""Handwritten digits: the small ones of scikit-learn, and MNIST's test images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data import fetch, local, read_idx
from genkit.errors import UsageError
from genkit_latents.data import Points, check, graph_distances, split

IMAGES = "images/t10k-images-idx3-ubyte.gz"
IMAGES_SHA256 = "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
LABELS = "images/t10k-labels-idx1-ubyte.gz"
LABELS_SHA256 = "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
SOURCE = "https://raw.githubusercontent.com/fgnt/mnist/master/"


@dataclass(frozen=True)
class Digits:
    """1797 digits of 8 x 8 pixels, grey values in [0, 1]; they come with scikit-learn (UCI optical digits, test part).

    The true distances of test rows are shortest paths in the graph of nearest neighbours of the images.
    """

    test: float = 0.2
    """share of the images that is for testing"""
    seed: int = 0
    """of the split"""

    def load(self) -> Points:
        """Train and test images as rows of 64."""
        from sklearn.datasets import load_digits

        if not 0 < self.test < 1:
            raise UsageError(f"digits: test={self.test}; expected 0 < test < 1")
        x, y = load_digits(return_X_y=True)
        x, y = (np.asarray(x) / 16).astype(np.float32), np.asarray(y)
        return _points(x, y, self.test, self.seed, (8, 8), "digits")


@dataclass(frozen=True)
class MNIST:
    """The 10 000 test images of MNIST, 28 x 28, grey values in [0, 1], split into train and test here."""

    test: float = 0.2
    """share of the images that is for testing"""
    seed: int = 0
    """of the split"""

    def path(self) -> Path | None:
        """The file of the images, where it is here already."""
        return local(IMAGES, IMAGES_SHA256)

    def load(self) -> Points:
        """Train and test images as rows of 784."""
        images = fetch(IMAGES, IMAGES_SHA256, SOURCE + Path(IMAGES).name)
        labels = fetch(LABELS, LABELS_SHA256, SOURCE + Path(LABELS).name)
        x = (read_idx(images) / 255).astype(np.float32).reshape(-1, 784)
        return _points(x, read_idx(labels).astype(int), self.test, self.seed, (28, 28), "mnist")


def _points(x: np.ndarray, y: np.ndarray, test: float, seed: int, image: tuple[int, int], source: str) -> Points:
    train, held = split(len(x), test, seed)
    return check(Points(x[train], x[held], "bernoulli", source, y[train], y[held], image, graph_distances(x[held])))
