"""Handwritten digits of 8 x 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genkit.errors import UsageError
from genkit_inverse.images import Bits


@dataclass(frozen=True)
class BinaryDigits:
    """The 1797 test digits of Alpaydin and Kaynak (UCI, 1998), cut to bits: 1397 to train and 400 to test.

    They come with scikit-learn: nothing is downloaded.
    """

    threshold: int = 8
    """Grey level, 1 to 16, from which a cell is one."""

    def __post_init__(self) -> None:
        """Check the threshold."""
        if not 1 <= self.threshold <= 16:
            raise UsageError(f"threshold={self.threshold}; grey levels go from 0 to 16, expected 1 to 16")

    def load(self) -> Bits:
        """Images of 8 x 8; the split is that of a fixed seed."""
        from sklearn.datasets import load_digits

        grey, _ = load_digits(return_X_y=True)
        bits = (np.asarray(grey).reshape(-1, 8, 8) >= self.threshold).astype(np.int32)
        order = np.random.default_rng(0).permutation(len(bits))
        return Bits(bits[order[400:]], bits[order[:400]])
