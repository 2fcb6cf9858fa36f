"""What is asked of a trained autoencoder: draws, or geodesics between points of files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import numpy as np
import tyro

from genkit.errors import UsageError
from genkit.model import CSV, NPZ, Piece, Request
from genkit_latents.files import read_rows


@dataclass(frozen=True)
class Draw(Request):
    """Draw data with their latent points; or, with --from and --to, geodesics between the rows of two files.

    Files are .npz, .npy or .csv, also those that this command writes, with as many rows or a single one.
    """

    formats: ClassVar[dict[str, str]] = {".npz": NPZ, ".csv": CSV}

    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """File of the points where geodesics begin."""
    end: Annotated[Path | None, tyro.conf.arg(name="to")] = None
    """File of the points where they end."""
    space: Literal["data", "latent"] = "data"
    """What the files hold: rows of data, which are encoded, or latent points."""
    points: int = 33
    """Points along a geodesic, its ends included."""

    def __post_init__(self) -> None:
        """Check that both files are given."""
        if (self.start is None) != (self.end is None):
            raise UsageError("a geodesic has two ends; give both --from FILE and --to FILE")
        if self.points < 2:
            raise UsageError(f"points={self.points} are too few; expected at least 2")

    def count(self, model: Any) -> int | None:
        """The number of geodesics."""
        return None if self.start is None else len(self._ends(model)[0])

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """Pieces `samples` (n, D) and `latents` (n, *shape); of geodesics `samples` (n, points, D) and `latents`
        (n, points, *shape), their `length` and whether they `converged`.
        """
        if self.start is not None:
            p, q = self._ends(model)
            for i in range(0, len(p), chunk):
                yield _curves(model, p[i : i + chunk], q[i : i + chunk], self.points)
            return
        z = model.codes(key, n)
        for i in range(0, n, chunk):
            part = z[i : i + chunk]
            yield {"samples": np.asarray(model.decode(part)), "latents": np.asarray(part)}

    def _ends(self, model: Any) -> tuple[np.ndarray, np.ndarray]:
        p, q = (self._read(model, file) for file in (self.start, self.end))
        if 1 not in (len(p), len(q)) and len(p) != len(q):
            raise UsageError(f"{self.start} has {len(p)} rows, {self.end} {len(q)}; expected as many, or one")
        n = max(len(p), len(q))
        return tuple(np.broadcast_to(x, (n, *x.shape[1:])) for x in (p, q))  # type: ignore[return-value]

    def _read(self, model: Any, file: Any) -> np.ndarray:
        """Latent points (n, *shape), checked."""
        in_data = self.space == "data"
        x = read_rows(file, "samples" if in_data else "latents").astype(np.float32)
        shape = (model.inputs,) if in_data else model.latent.shape
        if x.shape[1:] != shape:
            what = "rows of data" if in_data else "latent points"
            raise UsageError(f"{file} has an array {x.shape}; expected (n, {', '.join(map(str, shape))}), {what}")
        if in_data:
            if not np.isfinite(x).all():
                raise UsageError(f"{file}: row {int(np.argwhere(~np.isfinite(x))[0][0])} is not finite")
            x = model.encode(x)[0]
        return np.asarray(model.latent.check(x, f"{file}: points"))


def _curves(model: Any, p: np.ndarray, q: np.ndarray, points: int) -> Piece:
    found = model.geodesics(p, q, points)
    flat = found.curve.reshape(-1, *found.curve.shape[2:])
    decoded = model.decode(flat).reshape(*found.curve.shape[:2], -1)
    arrays = {"samples": decoded, "latents": found.curve, "length": found.length, "converged": found.converged}
    return {name: np.asarray(array) for name, array in arrays.items()}
