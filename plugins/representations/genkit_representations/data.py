"""What the data sets here give."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from genkit.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Vectors (n, d) or images (n, h, w, c) in [0, 1] with classes, which no training of an encoder sees."""

    train: np.ndarray
    labels: np.ndarray
    """classes (n,) of the training samples"""
    test: np.ndarray
    test_labels: np.ndarray

    def __post_init__(self) -> None:
        """Check the arrays."""
        for name, x, y in (("train", self.train, self.labels), ("test", self.test, self.test_labels)):
            check_rows(name, x)
            if x.shape[1:] != self.shape:
                raise DataError(f"{name} samples have shape {x.shape[1:]}, those of the training {self.shape}")
            check_labels(name, y, len(x))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.train.shape[1:]


@dataclass(frozen=True)
class Split:
    """Features (n, d) of known data to train and to test on, and of sets that are out of distribution."""

    train: np.ndarray
    test: np.ndarray
    ood: dict[str, np.ndarray]
    labels: np.ndarray | None = None
    """classes (n,) of the training features, from 0; methods that need some are left out without them"""

    def __post_init__(self) -> None:
        """Check the arrays."""
        if not self.ood:
            raise DataError("there is no out-of-distribution set; give one or more named ood/<name>")
        for name, x in {"train": self.train, "test": self.test, **{f"ood/{k}": v for k, v in self.ood.items()}}.items():
            check_rows(name, x)
            if x.ndim != 2 or x.shape[1] != self.train.shape[1]:
                raise DataError(f"{name} features have shape {x.shape}; expected (n, {self.train.shape[1]})")
        if self.labels is not None:
            check_labels("train", self.labels, len(self.train))
            if len(np.unique(self.labels)) < 2:
                raise DataError("the training features have one class; leave the labels out, or give two classes")


@dataclass(frozen=True)
class Splits:
    """The same question asked several times, each time with another part of the data."""

    splits: tuple[Split, ...] = field(default_factory=tuple)


def check_rows(name: str, x: np.ndarray) -> None:
    """Refuse empty arrays, and NaN with the row where it is."""
    if x.ndim < 2 or not len(x):
        raise DataError(f"{name} has shape {x.shape}; expected (n, ...) with n > 0")
    wrong = ~np.isfinite(x.reshape(len(x), -1)).all(1)
    if wrong.any():
        raise DataError(f"{name} has {wrong.sum()} rows with NaN or infinite values, the first is row {wrong.argmax()}")


def check_labels(name: str, labels: np.ndarray, rows: int) -> None:
    """Refuse labels that are no whole numbers from 0, or not one a row."""
    if labels.shape != (rows,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            f"{name} labels have shape {labels.shape} and type {labels.dtype}; expected ({rows},) whole numbers from 0"
        )
