"""Restored images as files: an .npz, or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from genkit.errors import UsageError
from genkit.files import write_arrays, write_json
from genkit.model import Piece, joined
from genkit_inverse.pictures.files import CHANNELS, write_picture


class Restored:
    """Samples of images, their mean and standard deviation; with a measurement what they say of it.

    A folder has `samples.npz`, `summary.json`, and where the images have one channel or three `sample_000.png`, ...,
    `mean.png` and `std.png`, whose white is the largest standard deviation. Samples that are not finite are counted
    and left out of the mean. A folder with files is refused: samples of another measurement would stay beside the new.
    """

    def __init__(self, path: Path, bounds: tuple[float, float] | None = None, about: dict[str, Any] | None = None):
        if (path.is_file() and path.suffix != ".npz") or (path.is_dir() and any(path.iterdir())):
            raise UsageError(f"--out {path} is not an empty folder; choose another one")
        self.path, self.bounds, self.about = path, bounds, about or {}
        self.pieces: list[Piece] = []

    def write(self, piece: Piece) -> None:
        """Keep a piece."""
        self.pieces.append(piece)

    def close(self) -> str:
        """Write all; returns what the samples say."""
        arrays = joined(self.pieces)
        x = arrays["samples"]
        kept = x[_finite(x)] if _finite(x).any() else x
        arrays |= {"mean": kept.mean(0), "std": kept.std(0)}
        numbers = summary(arrays) | self.about
        if self.path.suffix == ".npz":
            write_arrays(self.path, arrays)
        else:
            self._pictures(x, arrays["mean"], arrays["std"])
            write_arrays(self.path / "samples.npz", arrays)
            write_json(self.path / "summary.json", numbers)
        return told(numbers)

    def _pictures(self, x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
        if x.shape[-1] not in CHANNELS:
            return
        finite = x[np.isfinite(x)] if np.isfinite(x).any() else np.zeros(1)
        low, high = self.bounds or (float(finite.min()), float(finite.max()))
        width = high - low or 1.0
        for i, image in enumerate(x):
            write_picture(self.path / f"sample_{i:03d}.png", (image - low) / width)
        write_picture(self.path / "mean.png", (mean - low) / width)
        write_picture(self.path / "std.png", std / (std.max() or 1.0))


def _finite(x: np.ndarray) -> np.ndarray:
    """Which samples (n, ...) are, (n,)."""
    return np.asarray(np.isfinite(x.reshape(len(x), -1)).all(1))


def summary(arrays: Piece) -> dict[str, Any]:
    """How many samples, and where they are of a posterior the mean chi^2 of the residuals and the log evidence."""
    n, finite = len(arrays["samples"]), _finite(arrays["samples"])
    numbers: dict[str, Any] = {"samples": n, "std": float(arrays["std"].mean())}
    if not finite.all():
        numbers["not_finite"] = int(n - finite.sum())
    if "chi2" in arrays:
        numbers["residual_chi2"] = float(arrays["chi2"][finite].mean()) if finite.any() else None
    if "log_z" in arrays:
        log_z = arrays["log_z"].astype(float)
        numbers["log_evidence"] = float(logsumexp(log_z) - np.log(n))  # the mean of Z is unbiased
        numbers["log_evidence_sd"] = float(log_z.std(ddof=1)) if n > 1 and np.isfinite(log_z).all() else None
    return {key: value if value is None or np.isfinite(value) else None for key, value in numbers.items()}


def told(numbers: dict[str, Any]) -> str:
    """These numbers as a line."""
    n, lost = numbers["samples"], numbers.get("not_finite", 0)
    line = f"{n} samples" + (f", {lost} of them not finite; of the others" if lost else ", their")
    line += " mean and standard deviation" + (f" ({std:.3g} a cell)" if (std := numbers["std"]) is not None else "")
    line = f"{n} samples, none of which is finite" if lost == n else line
    if (chi2 := numbers.get("residual_chi2")) is not None:
        line += f"; residual chi^2 {chi2:.4g} of {numbers['measured']} numbers" if "measured" in numbers else ""
    if (log_z := numbers.get("log_evidence")) is not None:
        sd = numbers.get("log_evidence_sd")
        line += f"; log evidence {log_z:.5g}" + (f" (s.d. of a group {sd:.2g})" if sd is not None else "")
    return line + (f"; noise {numbers['noise']}" if "noise" in numbers else "")
