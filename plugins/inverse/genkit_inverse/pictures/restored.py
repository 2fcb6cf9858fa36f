"""Restored images as files: an .npz, or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp

from genkit.files import write_arrays, write_json
from genkit.model import Piece, joined
from genkit_inverse.pictures.files import CHANNELS, write_picture


class Restored:
    """Samples of images, their mean and standard deviation; with a measurement what they say of it.

    A folder has `samples.npz`, `summary.json`, and where the images have one channel or three `sample_000.png`, ...,
    `mean.png` and `std.png`, whose white is the largest standard deviation.
    """

    def __init__(self, path: Path, bounds: tuple[float, float] | None = None, about: dict[str, Any] | None = None):
        self.path, self.bounds, self.about = path, bounds, about or {}
        self.pieces: list[Piece] = []

    def write(self, piece: Piece) -> None:
        """Keep a piece."""
        self.pieces.append(piece)

    def close(self) -> str:
        """Write all; returns what the samples say."""
        arrays = joined(self.pieces)
        x = arrays["samples"]
        arrays |= {"mean": x.mean(0), "std": x.std(0)}
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
        low, high = self.bounds or (float(np.nanmin(x)), float(np.nanmax(x)))
        width = high - low or 1.0
        for i, image in enumerate(x):
            write_picture(self.path / f"sample_{i:03d}.png", (image - low) / width)
        write_picture(self.path / "mean.png", (mean - low) / width)
        write_picture(self.path / "std.png", std / (np.nanmax(std) or 1.0))


def summary(arrays: Piece) -> dict[str, Any]:
    """How many samples, and where they are of a posterior the mean chi^2 of the residuals and the log evidence."""
    n = len(arrays["samples"])
    numbers: dict[str, Any] = {"samples": n, "std": float(arrays["std"].mean())}
    if "chi2" in arrays:
        numbers["residual_chi2"] = float(arrays["chi2"].mean())
    if "log_z" in arrays:
        log_z = arrays["log_z"].astype(float)
        numbers["log_evidence"] = float(logsumexp(log_z) - np.log(n))  # the mean of Z is unbiased
        numbers["log_evidence_sd"] = float(log_z.std(ddof=1)) if n > 1 else None
    return {key: value if value is None or np.isfinite(value) else None for key, value in numbers.items()}


def told(numbers: dict[str, Any]) -> str:
    """These numbers as a line."""
    line = f"{numbers['samples']} samples, their mean and standard deviation ({numbers['std']:.3g} a cell)"
    if (chi2 := numbers.get("residual_chi2")) is not None:
        line += f"; residual chi^2 {chi2:.4g} of {numbers['measured']} numbers" if "measured" in numbers else ""
    if (log_z := numbers.get("log_evidence")) is not None:
        sd = numbers.get("log_evidence_sd")
        line += f"; log evidence {log_z:.5g}" + (f" (s.d. of a group {sd:.2g})" if sd is not None else "")
    return line + (f"; noise {numbers['noise']}" if "noise" in numbers else "")
