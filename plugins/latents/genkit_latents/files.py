"""Points from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genkit.errors import UsageError
from genkit.files import text_of
from genkit.model import arrays_in

SEPARATORS = ",", ";", "\t"


def read_rows(file: Path, name: str) -> np.ndarray:
    """The array of a .npz, .npy or .csv file: that of this name where it has several. Raises `UsageError`.

    Cells of a .csv file are separated by commas, semicolons or tabs; lines that begin with # do not count. Columns are
    named `name.0`, `name.1`, or as they like where they all make one array.
    """
    if file.suffix not in (".npz", ".npy", ".csv"):
        raise UsageError(f"{file}: expected a file that ends in .npz, .npy, .csv")
    arrays = _columns(file) if file.suffix == ".csv" else arrays_in(file, alone=name)
    found = arrays.get(name, next(iter(arrays.values())) if len(arrays) == 1 else None)
    if found is None:
        raise UsageError(f"{file} has the arrays {', '.join(arrays)}; expected one, or one named {name}")
    if found.ndim < 2 or not found.size or found.dtype.kind not in "biuf":
        raise UsageError(f"{file} has an array {found.shape} of {found.dtype}; expected numbers, one row a point")
    return found


def _columns(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise UsageError(f"cannot read {file}: No such file")
    lines = [one for one in text_of(file, "rows of numbers").splitlines() if one.strip() and not one.startswith("#")]
    separator = max(SEPARATORS, key=lines[0].count) if lines else ","
    head = [word.strip().strip('"') for word in lines[0].split(separator)] if lines else []
    named = not all(map(_is_number, head))
    if len(lines) <= named:
        raise UsageError(f"{file} has no rows; expected numbers, one row a point")
    try:
        table = np.loadtxt(lines[named:], delimiter=separator, ndmin=2)
    except ValueError as error:
        raise UsageError(f"cannot read {file}: {str(error).splitlines()[0]}") from None
    if table.shape[1] != len(head):
        raise UsageError(f"{file}: {len(head)} columns in the first line, {table.shape[1]} in the others")
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
