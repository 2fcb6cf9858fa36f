"""Arrays that are read on indexing: long series of large states need not fit into memory."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Lazy:
    """Something that stands in for a numpy array whose rows `read(rows (n,)) -> (n, ...)` fetches.

    `key` is another where the files or what is made of them is: what takes a pass over all rows is kept under it.
    """

    def __init__(self, shape: tuple[int, ...], read: Callable[[np.ndarray], np.ndarray], key: str = ""):
        self.key = key
        self.shape = shape
        self.read = read
        self.dtype = np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[index]
        rows = np.arange(self.shape[0])[first]
        out = self.read(np.ravel(rows)).reshape(*np.shape(rows), *self.shape[1:])
        return out[(slice(None),) * np.ndim(rows) + tuple(rest)] if rest else out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.read(np.arange(self.shape[0])).astype(dtype or self.dtype, copy=False)
