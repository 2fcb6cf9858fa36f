"""`genkit export`: the parameters of a trained model as one file that needs no genkit to read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from genkit.errors import GenkitError


@dataclass(frozen=True)
class Export:
    """Write the arrays of a trained model as an .npz file.

    They are named by their path in the model, such as `denoiser.params.layers.0.kernel`; bfloat16 becomes float32. The
    entry `model.yaml`, or `config.yaml` of a run that keeps no model, is the text that explains them.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a run or of a trained model."""
    out: Path | None = None
    """File to write; parameters.npz in the run folder, or here for the folder of a model, if not given."""
    trust: bool = False
    """Allow the model to name own code (module:Class)."""

    def run(self) -> None:
        """Write the file."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        from genkit.experiment import held, is_run
        from genkit.experiment.folder import write_arrays

        source, text = self._source()
        arrays = {}
        for path, leaf in jax.tree.leaves_with_path(source):
            wide = leaf.astype(jnp.float32) if getattr(leaf, "dtype", None) == jnp.bfloat16 else leaf
            arrays[jax.tree_util.keystr(path, simple=True, separator=".") or "x"] = np.asarray(wide)
        if not arrays:
            raise GenkitError(f"the denoiser of {self.model} is a closed form: it has no parameters to export")
        inside = self.out is None and is_run(self.model)
        file = self.out or (self.model if inside else Path()) / "parameters.npz"
        with held(self.model) if inside else contextlib.nullcontext():
            write_arrays(file, {**arrays, text.name: text.read_text()})
        count = sum(array.size for array in arrays.values())
        print(f"{file}: {len(arrays)} arrays, {count:,} numbers, {file.stat().st_size / 1e6:.1f} MB")

    def _source(self) -> tuple[Any, Path]:
        """What holds the arrays, and the text that explains them."""
        from genkit import model
        from genkit.experiment import load
        from genkit.experiment.slots import main_model

        if model.located(self.model):
            return model.load(self.model, self.trust), model.find(self.model) / "model.yaml"
        run = load(self.model, self.trust)
        run.require("train")
        has_model = main_model(type(run.config)) is not None  # then this says what became of it
        return run.model if has_model else run.denoiser, self.model / "config.yaml"
