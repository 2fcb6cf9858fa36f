"""Own rows, from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genkit.data import own_file
from genkit.errors import UsageError
from genkit.model import arrays_in
from genkit_latents.data import Points, check, split
from genkit_latents.files import read_rows


@dataclass(frozen=True)
class Rows:
    """Rows of numbers of a .npy, .npz (array `samples`) or .csv file; labels where there are some."""

    file: Path = Path("rows.npy")
    """The file."""
    labels: Path | None = None
    """A .npy file (or .npz, array `labels`) of class numbers from 0, one a row."""
    likelihood: Literal["normal", "gaussian", "bernoulli", "poisson", "negative_binomial"] = "gaussian"
    """The family that suits them."""
    test: float = 0.2
    """Share of the rows that is for testing."""
    seed: int = 0
    """Of the split."""

    def path(self) -> Path:
        """The file."""
        return own_file(self.file, "rows of numbers, as .npy, .npz or .csv")

    def load(self) -> Points:
        """Train and test rows."""
        if not 0 < self.test < 1:
            raise UsageError(f"rows: test={self.test}; expected 0 < test < 1")
        x = read_rows(self.path(), "samples").astype(np.float32)
        train, test = split(len(x), self.test, self.seed)
        if self.labels is None:
            return check(Points(x[train], x[test], self.likelihood, str(self.file)))
        arrays = arrays_in(self.labels, "labels")
        if (y := arrays.get("labels")) is None:
            raise UsageError(f"{self.labels} has no array `labels`; it has {', '.join(arrays) or 'none'}")
        if y.shape != (len(x),):
            raise UsageError(f"{self.labels} has an array {y.shape}; expected ({len(x)},), one label a row")
        if y.dtype.kind not in "iu":
            raise UsageError(f"{self.labels} has labels of {y.dtype}; expected whole numbers 0, 1, 2, ...")
        if y.min() < 0:
            raise UsageError(f"{self.labels} has labels from {y.min()}; expected 0, 1, 2, ...")
        return check(Points(x[train], x[test], self.likelihood, str(self.file), y[train], y[test]))
