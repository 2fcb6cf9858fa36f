"""Images of files: MNIST and Fashion-MNIST as published, or arrays of numpy, as of CIFAR-10."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data import find_idx, own_file, read_idx
from genkit.errors import DataError, UsageError
from genkit.model import arrays_in
from genkit_latents.data import Points, check

PARTS = {"train": "train", "test": "t10k"}  # as the idx files of MNIST and Fashion-MNIST are named


@dataclass(frozen=True)
class Images:
    """Images with classes: a folder of the four idx files of MNIST or Fashion-MNIST (plain or .gz), or an .npz file.

    In an .npz file they are `train`, `train_labels`, `test`, `test_labels`; images (n, h, w[, c]), bytes (0 and 1 alone
    are black and white) or in [0, 1].
    """

    file: Path = Path("images")
    """The folder or the file."""

    def path(self) -> Path:
        """The folder or file."""
        return own_file(self.file, "a folder of idx files or an .npz file of images", folder=True)

    def load(self) -> Points:
        """Rows of h w c grey values or colours in [0, 1]."""
        path = self.path()
        found = _folder(path) if path.is_dir() else _arrays(path)
        rows = {}
        whole = max((np.max(found[p], initial=0) for p in PARTS if np.asarray(found[p]).dtype == np.uint8), default=0)
        for part in PARTS:
            x = np.asarray(found[part])
            if x.ndim not in (3, 4) or not x.size or (x.ndim == 4 and x.shape[3] > 4):
                raise DataError(f"{self.file}: {part} has shape {x.shape}; expected images (n, h, w) or (n, h, w, c)")
            if x.dtype.kind not in "biuf":
                raise DataError(f"{self.file}: {part} holds {x.dtype}; expected bytes (uint8) or numbers in [0, 1]")
            rows[part] = (x / 255 if x.dtype == np.uint8 and whole > 1 else x).astype(np.float32).reshape(len(x), -1)
            if rows[part].min() < 0 or rows[part].max() > 1:
                raise DataError(f"{self.file}: {part} has values outside [0, 1]; give bytes (uint8) or divide them")
        shape = tuple(np.shape(found["train"])[1:])
        labels = (self._classes(f"{part}_labels", np.ravel(found[f"{part}_labels"])) for part in PARTS)
        return check(Points(rows["train"], rows["test"], "bernoulli", str(self.file), *labels, image=shape))

    def _classes(self, name: str, labels: np.ndarray) -> np.ndarray:
        if labels.dtype.kind not in "biuf" or not np.isfinite(labels).all() or ((labels < 0) | (labels % 1 > 0)).any():
            raise DataError(f"{self.file}: {name} must be whole numbers 0, 1, 2, ...")
        return labels.astype(int)


def _folder(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for part, name in PARTS.items():
        for key, stem in ((part, f"{name}-images-idx3-ubyte"), (f"{part}_labels", f"{name}-labels-idx1-ubyte")):
            found[key] = read_idx(find_idx(path, stem))
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    wanted = [name for part in PARTS for name in (part, f"{part}_labels")]
    try:
        found = arrays_in(path, "train")
    except UsageError as error:
        raise DataError(f"{error}; expected a folder of idx files or an .npz file") from None
    if missing := [name for name in wanted if name not in found]:
        raise DataError(f"{path} has no array {missing[0]!r}; expected {', '.join(wanted)}")
    return found
