"""The idx format of MNIST and its relatives, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from genkit.errors import DataError

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def find_idx(folder: Path, stem: str) -> Path:
    """The file of this name in a folder, or the same with .gz; such as ``train-images-idx3-ubyte``."""
    for file in (folder / stem, folder / f"{stem}.gz"):
        if file.is_file():
            return file
    raise DataError(f"{folder} has no {stem} or {stem}.gz; expected the idx files of MNIST or Fashion-MNIST")


def read_idx(path: str | Path) -> np.ndarray:
    """The array of an idx file (``t10k-images-idx3-ubyte.gz``), in native byte order."""
    path = Path(path)
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected an idx file, plain or gzipped") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES or len(data) < 4 + 4 * data[3]:
        raise DataError(f"{path}: begins with {data[:4].hex()}, which is no idx header")
    kind, axes = np.dtype(TYPES[data[2]]), data[3]
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", axes, 4))
    start, size = 4 + 4 * axes, math.prod(shape) * kind.itemsize
    if len(data) != start + size:
        raise DataError(f"{path}: {len(data) - start} bytes for an array of shape {shape}, expected {size}")
    return np.frombuffer(data, kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))
