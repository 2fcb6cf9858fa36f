"""Points from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genkit.errors import UsageError
from genkit.model import arrays_in


def read_rows(file: Path, name: str) -> np.ndarray:
    """The array of a .npz, .npy or .csv file: that of this name where it has several. Raises `UsageError`.

    Columns of a .csv file are named `name.0`, `name.1`, or as they like where they all make one array.
    """
    if file.suffix not in (".npz", ".npy", ".csv"):
        raise UsageError(f"{file}: expected a file that ends in .npz, .npy, .csv")
    arrays = _columns(file) if file.suffix == ".csv" else arrays_in(file, alone=name)
    found = arrays.get(name, next(iter(arrays.values())) if len(arrays) == 1 else None)
    if found is None:
        raise UsageError(f"{file} has the arrays {', '.join(arrays)}; expected one, or one named {name}")
    if found.ndim < 2 or len(found) == 0 or found.dtype.kind not in "biuf":
        raise UsageError(f"{file} has an array {found.shape} of {found.dtype}; expected numbers, one row a point")
    return found


def _columns(file: Path) -> dict[str, np.ndarray]:
    try:
        with file.open() as opened:
            head = opened.readline().strip().split(",")
        named = not all(map(_is_number, head))
        table = np.loadtxt(file, delimiter=",", skiprows=int(named), ndmin=2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UsageError(f"cannot read {file}: {reason}") from None
    groups: dict[str, list[int]] = {}
    for i, word in enumerate(head):
        before, dot, number = word.partition(".") if named else ("", "", "")
        groups.setdefault(before if dot and number.isdigit() else "", []).append(i)
    return {name: table[:, columns] for name, columns in groups.items()}


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
