"""Features with sets that are out of distribution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genkit.data import own_file
from genkit.errors import DataError, UsageError
from genkit_representations.data import Split, Splits


@dataclass(frozen=True)
class HeldOutDigits:
    """Digits of 8 x 8 pixels (scikit-learn) of which two classes are unknown, drawn anew for each split.

    Split k: numpy's default_rng(k) permutes the classes, the first two are unknown, and halves the rest.
    """

    splits: int = 5
    """number of splits"""

    def load(self) -> Splits:
        """Rows of 64 in [0, 1]; classes of the training rows are numbered by rank."""
        from sklearn.datasets import load_digits

        if self.splits < 1:
            raise UsageError(f"splits={self.splits}; expected at least 1")
        x, y = load_digits(return_X_y=True)
        x, y = (np.asarray(x) / 16).astype(np.float32), np.asarray(y)
        found = []
        for k in range(self.splits):
            rng = np.random.default_rng(k)
            classes = rng.permutation(10)
            unknown = np.isin(y, classes[:2])
            rows = rng.permutation(np.flatnonzero(~unknown))
            train, test = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            labels = np.searchsorted(np.sort(classes[2:]), y[train])
            name = "digits " + " and ".join(str(c) for c in sorted(classes[:2]))
            found.append(Split(x[train], x[test], {name: x[unknown]}, labels))
        return Splits(tuple(found))


@dataclass(frozen=True)
class Features:
    """Own features: an .npz file with `train`, `test`, `ood/<name>` (n, d), and `labels` (n,) of train where known."""

    file: Path = Path("features.npz")
    """the file"""
    splits: int = 1
    """trainings, which differ in the seed of the model"""

    def path(self) -> Path:
        """The file."""
        return own_file(self.file, "an .npz file of features")

    def load(self) -> Splits:
        """The features."""
        with np.load(self.path(), allow_pickle=False) as file:
            arrays = dict(file)
        if missing := {"train", "test"} - set(arrays):
            raise DataError(f"{self.file} lacks {', '.join(sorted(missing))}; it has {', '.join(arrays) or 'nothing'}")
        x = {name: np.asarray(a, np.float32) for name, a in arrays.items() if name != "labels"}
        unknown = {name.removeprefix("ood/"): a for name, a in x.items() if name.startswith("ood/")}
        labels = arrays.get("labels")
        if labels is not None and labels.dtype.kind in "iu":
            labels = np.unique(labels, return_inverse=True)[1]
        split = Split(x["train"], x["test"], unknown, labels)
        return Splits((split,) * self.splits)
