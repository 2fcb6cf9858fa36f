"""Points from files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from genkit.errors import UsageError


def read_rows(file: Path, name: str) -> np.ndarray:
    """The array of a .npz, .npy or .csv file: that of this name where it has several. Raises `UsageError`.

    Columns of a .csv file are named `name.0`, `name.1`, or as they like where they all make one array.
    """
    readers = {".npz": _npz, ".npy": _npy, ".csv": _csv}
    if file.suffix not in readers:
        raise UsageError(f"{file}: expected a file that ends in {', '.join(readers)}")
    try:
        arrays = readers[file.suffix](file)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"cannot read {file}: {str(error).splitlines()[0]}") from None
    found = arrays.get(name, next(iter(arrays.values())) if len(arrays) == 1 else None)
    if found is None:
        raise UsageError(f"{file} has the arrays {', '.join(arrays)}; expected one, or one named {name}")
    if found.ndim < 2 or len(found) == 0 or found.dtype.kind not in "biuf":
        raise UsageError(f"{file} has an array {found.shape} of {found.dtype}; expected numbers, one row a point")
    return found


def _npz(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as opened:
        return dict(opened)


def _npy(file: Path) -> dict[str, np.ndarray]:
    return {"": np.load(file)}


def _csv(file: Path) -> dict[str, np.ndarray]:
    with file.open() as opened:
        head = opened.readline().strip().split(",")
    try:
        named = not [float(word) for word in head]
    except ValueError:
        named = True
    table = np.loadtxt(file, delimiter=",", skiprows=int(named), ndmin=2)
    groups: dict[str, list[int]] = {}
    for i, word in enumerate(head):
        before, dot, number = word.partition(".") if named else ("", "", "")
        groups.setdefault(before if dot and number.isdigit() else "", []).append(i)
    return {name: table[:, columns] for name, columns in groups.items()}
