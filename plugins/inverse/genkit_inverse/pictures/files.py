"""Pictures and arrays in files of users: PNG, JPEG and what else Pillow reads, .npy; each refused in one line."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import DataError
from genkit.files import write

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
CHANNELS = {1: "grey", 3: "colour"}
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue in grey, ITU-R BT.601


def read_picture(path: Path) -> np.ndarray:
    """A picture (h, w, 1) in grey or (h, w, 3) in colour of 8 bits, as float64 in [0, 1]; turned as its camera says.

    Raises `DataError` for what is missing, damaged, or of another kind: what it would stand for is not guessed.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise DataError(f"{path} {'is no file' if path.exists() else 'does not exist'}; expected a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _check_kind(path, image)
                image.load()
                pixels = np.asarray(ImageOps.exif_transpose(image), np.float64)
    except UnidentifiedImageError:
        raise DataError(f"{path} is no picture that can be read; expected PNG or JPEG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path} is too large; cut it into pieces") from None
    except DataError:
        raise
    except Exception as error:  # Pillow raises what it likes for damaged files
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return (pixels / (1 if image.mode == "1" else 255)).reshape(*pixels.shape[:2], -1)


def _check_kind(path: Path, image: Any) -> None:
    save = "save it as grey or RGB of 8 bits"
    raw = [tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in image.tile]
    if image.mode.startswith("I") or image.mode == "F" or any("16" in str(one) for one in raw):
        raise DataError(f"{path} has 16 bits or more a number; {save}, or give its numbers as .npy")
    if image.mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        raise DataError(f"{path} has an alpha channel, which says nothing of what lies behind it; {save}")
    if image.mode == "P":
        raise DataError(f"{path} has a palette; {save}")
    if getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path} has {image.n_frames} frames; expected one picture")  # type: ignore[attr-defined]
    if image.mode not in ("1", "L", "RGB"):
        raise DataError(f"{path} is of mode {image.mode}; {save}")


def read_array(path: Path) -> np.ndarray:
    """The array of numbers, or of true and false, of a .npy file, or of an .npz file of one array."""
    if not path.is_file():
        raise DataError(f"{path} {'is no file' if path.exists() else 'does not exist'}; expected a .npy file")
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            with found:
                if len(found.files) != 1:
                    raise DataError(f"{path} has {', '.join(found.files) or 'nothing'}; expected one array")
                found = found[found.files[0]]
    except DataError:
        raise
    except Exception as error:  # numpy raises what it likes for damaged files
        raise DataError(f"{path} cannot be read as .npy: {' '.join(str(error).split())}") from None
    if found.dtype.kind not in "biufc" or not found.size:
        raise DataError(f"{path} holds {found.dtype} of shape {found.shape}; expected numbers")
    return found


def read_numbers(path: Path) -> np.ndarray:
    """A picture's values in [0, 1], or an array, by the ending of the file."""
    if path.suffix.lower() in (".npy", ".npz"):
        return read_array(path)
    return read_picture(path)


def write_picture(path: Path, image: np.ndarray) -> None:
    """An image (h, w, 1 or 3) in [0, 1] as PNG of 8 bits, whole or not at all; what is outside is cut, NaN is black."""
    from PIL import Image

    pixels = np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG")
    write(path, content.getvalue())


def said(shape: tuple[int, ...]) -> str:
    """A shape in words: 28 x 28 in grey."""
    if len(shape) == 3 and shape[-1] in CHANNELS:
        return f"{shape[0]} x {shape[1]} in {CHANNELS[shape[-1]]}"
    return " x ".join(map(str, shape)) or "one number"
