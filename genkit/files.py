"""Whole files: there complete or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genkit.errors import GenkitError


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file: it is there complete or not at all. Raises `GenkitError` when the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise GenkitError(f"cannot write {path}: {error.strerror}; make room or choose another place") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON as a whole file."""
    write(path, json.dumps(content, indent=1, allow_nan=False, default=str) + "\n")


def read_json(path: Path, missing: Any) -> Any:
    """Read JSON, or return `missing` where there is no file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return missing
    except ValueError as error:
        raise GenkitError(f"{path} is not JSON ({error}); it was changed by hand or the disk failed") from None


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz file, as a whole file."""
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    write(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file."""
    with np.load(path) as file:
        return dict(file)
