"""Files of others that hold a trained model, and plain files of its arrays. Components of the kind `formats`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from genkit.errors import UsageError
from genkit.files import write, write_arrays


@dataclass(frozen=True)
class Format:
    """Base of formats: `genkit import NAME` calls `read`, `genkit export --to NAME` calls `write`.

    Its fields are options of these commands.
    """

    ending: ClassVar[str] = ""
    """of a file where none is named; "" asks for a name"""

    def read(self, path: Path) -> tuple[Any, Any]:
        """The trained model (`genkit.model.Trained`) in a file or folder, and its recipe or None."""
        raise UsageError(f"{type(self).__name__} is only written; it does not say what its arrays are")

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        """Write a trained model, whole or not at all; `text` explains it. Returns what was written, in one line."""
        raise UsageError(f"{type(self).__name__} is only read")


@dataclass(frozen=True)
class Npz(Format):
    """The arrays by their path in the model, as `denoiser.params.layers.0.kernel`; bfloat16 becomes float32.

    The entry `model.yaml`, or `config.yaml` of a run that keeps no model, is the text that explains them.
    """

    ending: ClassVar[str] = ".npz"

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        """An .npz file."""
        arrays = {name: a.astype(np.float32) if a.dtype == jnp.bfloat16 else a for name, a in named(model).items()}
        write_arrays(path, arrays | ({} if text is None else {text.name: text.read_text()}))
        return told(arrays)


@dataclass(frozen=True)
class Safetensors(Format):
    """The arrays by their path in the model; the text that explains them is an entry of the metadata."""

    ending: ClassVar[str] = ".safetensors"

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        """A .safetensors file."""
        arrays = named(model)
        write(path, safetensors.numpy.save(arrays, None if text is None else {text.name: text.read_text()}))
        return told(arrays)


def named(model: Any) -> dict[str, np.ndarray]:
    """The arrays of a pytree by their paths, in the order of C: safetensors corrupts others."""
    return {
        jax.tree_util.keystr(path, simple=True, separator=".") or "x": np.ascontiguousarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(model)
    }


def told(arrays: dict[str, np.ndarray]) -> str:
    """How many arrays and numbers there are."""
    return f"{len(arrays)} arrays, {sum(array.size for array in arrays.values()):,} numbers"
