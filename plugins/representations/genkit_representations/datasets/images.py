"""Own images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data import own_file
from genkit.errors import DataError, UsageError
from genkit_representations.data import Samples
from genkit_representations.images import image_sets


@dataclass(frozen=True)
class Images:
    """Own images with classes: an .npz file, or a folder `train/<class>/*.png` and `test/<class>/*.png`.

    In an .npz file they are `train`, `labels`, `test`, `test_labels`, images (n, h, w[, c]) of bytes or in [0, 1].
    """

    file: Path = Path("images")
    """the file or the folder"""
    size: int = 224
    """side of the images: the short side is resized, the middle cut out"""
    colours: bool = True
    """three channels, else one of grey"""

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < 1:
            raise UsageError(f"size={self.size}; expected at least 1")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image."""
        return self.size, self.size, 3 if self.colours else 1

    def path(self) -> Path:
        """The file or folder."""
        return own_file(self.file, "a folder of images or an .npz file", folder=True)

    def load(self) -> Samples:
        """All in memory; classes are numbered by their rank among those of train."""
        sets = image_sets(self.path(), self.shape)
        for name in ("train", "test"):
            if name not in sets or sets[name].labels is None:
                raise DataError(f"{self.file} has no {name} images with classes; expected {name}/<class>/ in a folder, "
                                "or an array of images and one of labels in an .npz file")  # fmt: skip
        (train, test), every = (sets["train"], sets["test"]), slice(None)
        classes, labels = np.unique(np.asarray(train.labels), return_inverse=True)
        if unknown := set(np.asarray(test.labels).tolist()) - set(classes.tolist()):
            raise DataError(f"{self.file}: test has the classes {sorted(unknown)}; expected only those that train has")
        return Samples(train[every], labels, test[every], np.searchsorted(classes, np.asarray(test.labels)))
