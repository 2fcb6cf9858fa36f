"""What is asked of a trained model when it is sampled, and the files that samples go to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.files import write_arrays
from genkit.plugin import imported

Piece = dict[str, np.ndarray]
CHUNK = 256  # samples drawn at once, where nothing is said


@dataclass(frozen=True)
class Request:
    """Base of requests: conditions and methods of sampling, options of `genkit sample MODEL`.

    A call yields pieces of the samples, dicts of arrays with one row a sample: `samples`, and `log_w` where they have
    weights. What is drawn depends on the key alone, not on the chunks.
    """

    formats: ClassVar[dict[str, str]] = {".npz": "genkit.model.request:Npz"}
    """writers by the ending of a file, "" for a folder: ``module:Class`` of ``(path)`` with ``write(piece)`` and
    ``close() -> str``"""

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = CHUNK) -> Iterator[Piece]:
        """Draw n samples, at most `chunk` at once."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__")

    def writer(self, path: Path) -> Any:
        """The writer for a file."""
        if path.suffix not in self.formats:
            raise UsageError(f"--out {path}: expected an end in {' or '.join(e or '/' for e in self.formats)}")
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
        write_arrays(self.path, arrays)
        return ", ".join(f"{name} {array.shape}" for name, array in arrays.items())


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
    arrays = joined(list(request_of(model)(**conditions)(model, key, n)))
    return arrays["samples"] if len(arrays) == 1 else arrays
