"""Arrays from files of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genkit.errors import DataError


def array(path: Path) -> np.ndarray:
    """Numbers of an .npy file, or of text with commas or blanks between them. Refuses what is not finite."""
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            text = path.read_text()
            found = np.loadtxt(text.splitlines(), delimiter="," if "," in text else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}; expected .npy, or text of numbers") from error
    if not np.issubdtype(found.dtype, np.number) or not np.isfinite(found).all():
        raise DataError(f"{path}: has entries that are no finite numbers")
    return found


def integers(path: Path) -> np.ndarray:
    """The same, of whole numbers from 0 on, as int."""
    found = array(path)
    if (found < 0).any() or (found != np.round(found)).any():
        raise DataError(f"{path}: expected whole numbers of at least 0")
    return found.astype(int)
