"""`genkit export`: the parameters of a run's denoiser as one file that needs no genkit to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.errors import GenkitError


@dataclass(frozen=True)
class Export:
    """Write the parameters of a run's denoiser as an .npz file.

    Arrays are named by their path in the denoiser, such as `params.layers.0.kernel`; bfloat16 becomes float32.
    The entry `config.yaml` is the text of the run's configuration.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The run."""
    out: Path | None = None
    """File to write; parameters.npz in the run folder if not given."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> None:
        """Write the file."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        from genkit.experiment import load
        from genkit.experiment.folder import write_arrays

        run = load(self.run_folder, self.trust)
        arrays = {}
        for path, leaf in jax.tree.leaves_with_path(run.denoiser):
            wide = leaf.astype(jnp.float32) if getattr(leaf, "dtype", None) == jnp.bfloat16 else leaf
            arrays[jax.tree_util.keystr(path, simple=True, separator=".") or "x"] = np.asarray(wide)
        if not arrays:
            raise GenkitError(f"the denoiser of {self.run_folder} is a closed form: it has no parameters to export")
        file = self.out or self.run_folder / "parameters.npz"
        write_arrays(file, {**arrays, "config.yaml": (self.run_folder / "config.yaml").read_text()})
        count = sum(array.size for array in arrays.values())
        print(f"{file}: {len(arrays)} arrays, {count:,} numbers, {file.stat().st_size / 1e6:.1f} MB")
