"""`genkit sample`: draw samples from a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Sample:
    """Draw samples from the model of a run and save them as an .npz file."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The run."""
    n: int = 16
    """Number of samples."""
    seed: int = 0
    """Seed of the draw."""
    out: Path | None = None
    """File to write; samples-<seed>.npz in the run folder if not given."""
    trust: bool = False
    """Allow the run's configuration to name own code (module:Class)."""

    def run(self) -> None:
        """Draw and write."""
        import jax
        import numpy as np

        from genkit.experiment import load
        from genkit.experiment.environment import set_up
        from genkit.experiment.folder import write_arrays

        set_up()
        run = load(self.run_folder, self.trust)
        samples = run.sample(jax.random.key(self.seed), self.n)
        leaves = jax.tree.leaves_with_path(samples)
        names = [jax.tree_util.keystr(path, simple=True, separator=".") or "x" for path, _ in leaves]
        arrays = {name: np.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}
        file = self.out or run.folder / f"samples-{self.seed}.npz"
        write_arrays(file, arrays)
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        print(f"{file}: {shapes}")
