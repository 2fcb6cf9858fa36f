"""What is asked of a trained model when it is sampled, and the files that samples go to."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.files import check_place, write, write_arrays
from genkit.parallel import all_devices
from genkit.plugin import imported

Piece = dict[str, np.ndarray]
CHUNK = 256  # samples drawn at once, where nothing is said
NPZ, CSV = "genkit.model.request:Npz", "genkit.model.request:Csv"  # writers


@dataclass(frozen=True)
class Request:
    """Base of requests: conditions and methods of sampling, options of `genkit sample MODEL`.

    A call yields pieces of the samples, dicts of arrays with one row a sample: `samples`, and `log_w` where they have
    weights. What is drawn depends on the key alone, not on the chunks.
    """

    formats: ClassVar[dict[str, str]] = {".npz": NPZ}
    """writers by the ending of a file, "" for a folder: ``module:Class`` of ``(path)`` with ``write(piece)`` and
    ``close() -> str``"""

    def count(self, model: Any) -> int | None:
        """How many samples there will be where the conditions say it, as the rows of a file do; else None."""
        return None

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = CHUNK) -> Iterator[Piece]:
        """Draw n samples, at most `chunk` at once."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__")

    def writer(self, path: Path, model: Any = None) -> Any:
        """The writer for a file of samples of a model; refuses a place where none can be."""
        if path.suffix not in self.formats:
            endings, folder = " or ".join(filter(None, self.formats)), ", or a folder" * ("" in self.formats)
            raise UsageError(f"--out {path}: expected a file that ends in {endings}{folder}")
        check_place(path, folder=not path.suffix)
        return imported(self.formats[path.suffix])(path)


class Npz:
    """Samples as one .npz file, there complete or not at all."""

    def __init__(self, path: Path):
        self.path, self.pieces = path, []

    def write(self, piece: Piece) -> None:
        """Keep a piece."""
        self.pieces.append(piece)

    def close(self) -> str:
        """Write the file; returns what is in it."""
        arrays = joined(self.pieces)
        self.fill(arrays)
        return ", ".join(
            f"{name} {f'{array.sum()} of {array.size}' if array.dtype == bool else array.shape}"
            for name, array in arrays.items()
        )

    def fill(self, arrays: Piece) -> None:
        """Write the arrays."""
        write_arrays(self.path, arrays)


class Csv(Npz):
    """Samples as a table: a row each, or where they are curves (n, points, k), a row each point.

    Columns are `samples.0`, `samples.1`, ...; of curves `row` and `point` come first. Flags are 0 and 1.
    """

    def fill(self, arrays: Piece) -> None:
        """Write the table."""
        n = len(next(iter(arrays.values())))
        points = max((a.shape[1] for a in arrays.values() if a.ndim == 3), default=0)
        columns: dict[str, np.ndarray] = {}
        if points:
            columns = {"row": np.repeat(np.arange(n), points), "point": np.tile(np.arange(points), n)}
        for name, array in arrays.items():
            flat = array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array.reshape(n, -1)
            flat = flat if array.ndim == 3 or not points else np.repeat(flat, points, 0)
            single = array.ndim == 1
            columns |= {name if single else f"{name}.{i}": column for i, column in enumerate(flat.T)}
        table = np.column_stack([column.astype(np.float64) for column in columns.values()])
        file = io.BytesIO()
        np.savetxt(file, table, fmt="%.9g", delimiter=",", header=",".join(columns), comments="")
        write(self.path, file.getvalue())


def arrays_in(file: Path, alone: str = "y") -> Piece:
    """The arrays of a .npz file by name, or that of a .npy file under the name `alone`. Raises `UsageError`."""
    try:
        content = np.load(file)
        return {alone: content} if isinstance(content, np.ndarray) else dict(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is no .npy or .npz file of arrays"
        raise UsageError(f"cannot read {file}: {reason}") from None


def joined(pieces: list[Piece]) -> Piece:
    """Pieces as one."""
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def request_of(model: Any) -> type[Request]:
    """The request of a trained model; refuses one that is not sampled so."""
    request = getattr(model, "request", None)
    if request is None:
        hint = getattr(model, "instead", "nothing is drawn from it")
        raise UsageError(f"{type(model).__name__} {model.origin.folder if model.origin else ''}: {hint}")
    return request


def drawn(model: Any, key: jax.Array, n: int, **conditions: Any) -> Any:
    """`Trained.sample`: the array of samples, or all arrays by name where there are more."""
    if n < 1:
        raise UsageError(f"n={n} samples are too few; expected at least 1")
    request = request_of(model)(**conditions)
    n = n if (count := request.count(model)) is None else count
    with all_devices():
        arrays = joined(list(request(model, key, n)))
    return arrays["samples"] if len(arrays) == 1 else arrays
