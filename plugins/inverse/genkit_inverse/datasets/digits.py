"""Handwritten digits of 8 x 8 cells, bundled with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit_inverse.images import Images, split


@dataclass(frozen=True)
class Digits:
    """The 1797 test digits of Alpaydin and Kaynak (UCI, 1998), 8 x 8 x 1 in [-1, 1]: 1397, 200 and 200.

    They come with scikit-learn: nothing is downloaded.
    """

    def load(self) -> Images:
        """Grey levels 0 to 16 to -1 to 1."""
        from sklearn.datasets import load_digits

        pixels, _ = load_digits(return_X_y=True)
        images = np.asarray(pixels, np.float32).reshape(-1, 8, 8, 1) / 8 - 1
        return split(images, 200, 200, range=(-1.0, 1.0))
