"""A forecast in parts of some members, each whole or absent, so that a killed one goes on with those missing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genkit.errors import GenkitError

Draw = Callable[[int, int], Iterator[tuple[range, np.ndarray]]]


def identity(*asked: Any) -> str:
    """A fingerprint of pytrees of arrays, numbers and texts."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(asked):
        array = np.asarray(leaf) if not isinstance(leaf, str) else np.frombuffer(leaf.encode(), np.uint8)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


class Parts:
    """A hidden folder beside the file to be written, a file for some members each; that of another forecast goes."""

    def __init__(self, out: Path, asked: str, shape: tuple[int, ...], chunk: int):
        """`shape` (leads, members, y, x, variable) of the whole forecast; `chunk` members are a part."""
        self.folder, self.shape, self.chunk = out.with_name(f".{out.name}.parts"), shape, chunk
        told = json.dumps({"asked": asked, "shape": shape, "chunk": chunk})
        about = self.folder / "forecast.json"
        try:
            if not about.exists() or about.read_text() != told:
                self.discard()
                self.folder.mkdir(parents=True)
                new = about.with_suffix(f".{os.getpid()}")
                new.write_text(told)
                os.replace(new, about)
        except OSError as error:
            raise GenkitError(f"cannot write {self.folder}: {error.strerror}; choose another --out") from error

    @property
    def first(self) -> list[int]:
        """The first member of each part."""
        return list(range(0, self.shape[1], self.chunk))

    @property
    def missing(self) -> list[int]:
        """The first member of each part that is not there."""
        return [lo for lo in self.first if not self._path(lo).exists()]

    def make(self, lo: int, draw: Draw) -> Iterator[range]:
        """Write a part; yields the leads that are done. `draw(first, count)` yields states (1, leads, count, ...)."""
        count, path = min(self.chunk, self.shape[1] - lo), self._path(lo)
        new = path.with_suffix(f".{os.getpid()}")
        try:
            array = np.lib.format.open_memmap(new, "w+", np.float32, (self.shape[0], count, *self.shape[2:]))
            for some, states in draw(lo, count):
                array[some.start - 1 : some.stop - 1] = states[0]
                yield some
            array.flush()
            os.replace(new, path)
        except OSError as error:
            raise GenkitError(f"cannot write {path}: {error.strerror}; make room and give the command again") from error
        finally:
            new.unlink(missing_ok=True)

    def read(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Members and their states (leads, members, y, x, variable) of each part."""
        for lo in self.first:
            array = np.load(self._path(lo), mmap_mode="r")
            yield slice(lo, lo + array.shape[1]), array

    def discard(self) -> None:
        """Remove the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, lo: int) -> Path:
        return self.folder / f"members_{lo:05d}.npy"
