"""Images of arrays and of folders, read in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import DataError, UsageError

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class ImageSet:
    """Images of one shape, (h, w, c) in [0, 1] as float32, that are read when they are asked for."""

    name: str
    source: np.ndarray | tuple[Path, ...]
    """images (n, h, w) or (n, h, w, c), bytes or floats in [0, 1]; or their files"""
    shape: tuple[int, int, int]
    labels: np.ndarray | None = None
    """classes (n,) by their names or numbers"""

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Images (n, h, w, c): the short side resized, the middle cut out."""
        if isinstance(self.source, np.ndarray):
            return np.stack([self._fitted(self._of_array(a)) for a in self.source[rows]])
        return np.stack([self._fitted(self._of_file(path)) for path in self.source[rows]])

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """All of them, `size` at a time."""
        for first in range(0, len(self), size):
            yield self[slice(first, first + size)]

    def _of_array(self, a: np.ndarray) -> Any:
        from PIL import Image

        if a.dtype != np.uint8:
            if not np.isfinite(a).all() or a.min() < 0 or a.max() > 1:
                raise DataError(f"{self.name}: images of type {a.dtype} are outside [0, 1] or not finite")
            a = np.round(255 * a).astype(np.uint8)
        return Image.fromarray(a[..., 0] if a.shape[-1] == 1 and a.ndim == 3 else a)

    def _of_file(self, path: Path) -> Any:
        from PIL import Image

        try:
            return Image.open(path)
        except OSError as error:
            raise DataError(f"{path} is no image: {error}") from None

    def _fitted(self, image: Any) -> np.ndarray:
        from PIL import Image

        height, width, channels = self.shape
        image = image.convert("RGB" if channels == 3 else "L")
        if image.size != (width, height):
            scale = max(height / image.height, width / image.width)
            sides = round(image.width * scale), round(image.height * scale)
            left, top = (sides[0] - width) // 2, (sides[1] - height) // 2
            image = image.resize(sides, Image.Resampling.BICUBIC).crop((left, top, left + width, top + height))
        return np.asarray(image, np.float32).reshape(self.shape) / 255


def image_sets(path: Path, shape: tuple[int, int, int]) -> dict[str, ImageSet]:
    """The sets of an .npz file or of a folder, at a shape: `train`, `test`, `ood/<name>`, whichever there are.

    In an .npz file they are arrays (n, h, w[, c]), with `labels` and `test_labels` where known. In a folder they are
    folders of images, or of a folder of images for each class. Raises DataError where there is none.
    """
    if shape[2] not in (1, 3):
        raise UsageError(f"images of {shape[2]} channels; expected 1 or 3")
    if path.is_dir():
        found = {name: _of_folder(path / name, name, shape) for name in _folders(path)}
    elif path.suffix == ".npz" and path.is_file():
        found = _of_npz(path, shape)
    else:
        raise DataError(f"{path} is neither an .npz file nor a folder of images")
    if not found:
        raise DataError(f"{path} has no images; expected train, test or ood/<name>")
    return found


def _folders(path: Path) -> list[str]:
    names = [name for name in ("train", "test") if (path / name).is_dir()]
    return names + [f"ood/{one.name}" for one in sorted((path / "ood").glob("*")) if one.is_dir()]


def _of_folder(folder: Path, name: str, shape: tuple[int, int, int]) -> ImageSet:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise DataError(f"{folder} has no images; known endings: {', '.join(sorted(ENDINGS))}")
    classes = [path.relative_to(folder).parts[0] if path.parent != folder else "" for path in files]
    labels = np.array(classes) if all(classes) else None
    return ImageSet(name, tuple(files), shape, labels)


def _of_npz(path: Path, shape: tuple[int, int, int]) -> dict[str, ImageSet]:
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    found = {}
    for name in [n for n in arrays if n in ("train", "test") or n.startswith("ood/")]:
        a, labels = arrays[name], arrays.get({"train": "labels", "test": "test_labels"}.get(name, ""))
        if a.ndim not in (3, 4) or (a.ndim == 4 and a.shape[3] not in (1, 3)) or not len(a):
            raise DataError(
                f"{path}: {name} has shape {a.shape}; expected images (n, h, w), (n, h, w, 1) or (n, h, w, 3)"
            )
        if labels is not None and labels.shape != (len(a),):
            raise DataError(f"{path}: {name} has {len(a)} images and labels of shape {labels.shape}")
        found[name] = ImageSet(name, a, shape, labels)
    return found
