"""A fingerprint of data: what a model was trained on, as far as a look at it can tell."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

LOOK = 4096  # entries of an array that are looked at, spread evenly


def digest(data: Any) -> str:
    """16 hexadecimal digits of shapes, types, names and some entries of the arrays in dataclasses, tuples and dicts.

    Functions, and what loads on indexing, count by their type alone.
    """
    found = hashlib.sha256()
    _add(data, found)
    return found.hexdigest()[:16]


def _add(value: Any, found: Any) -> None:
    found.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray):
        flat = value.reshape(-1)
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(np.ascontiguousarray(flat[:: max(1, flat.size // LOOK)]).tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            _add(getattr(value, f.name), found)
    elif isinstance(value, (tuple, list)):
        for one in value:
            _add(one, found)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            found.update(str(name).encode())
            _add(one, found)
    elif isinstance(value, (str, bool, int, float, np.generic)):
        found.update(repr(value).encode())
