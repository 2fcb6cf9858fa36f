"""What experiments that train a discrete model of molecules share: data, samples, scores, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np

from genkit.errors import GenkitError, UsageError
from genkit.experiment import Run
from genkit.experiment.folder import write
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_molecules import guidance
from genkit_molecules.data import Molecules
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.denoisers import real_sites
from genkit_molecules.experiments.discrete_model import DiscreteModel
from genkit_molecules.graphs import sites
from genkit_molecules.models import Space
from genkit_molecules.networks.graph_transformer import GraphTransformer
from genkit_molecules.rows import Rows

PAIRED = 500  # molecules whose pairs of neighbourhoods are counted
SCORED = 2000  # molecules whose similarities are computed: a matrix of all pairs


@dataclass(frozen=True)
class GraphModel(DiscreteModel):
    """Learn molecules, sample them, and score the samples.

    The samples are written as samples_<method>.smi, with an empty line for an invalid one, and .sdf.
    """

    data: Dataset = field(default_factory=lambda: Lattice(n=5))
    """The molecules."""
    steps: int = 1500
    """Training steps."""
    batch: int = 128
    """Molecules in a step."""
    samples: int = 1000
    """Molecules to draw."""
    sizes: int = 4
    """Numbers of atoms that are sampled: the most frequent ones, each a program of its own."""
    network: Network = field(default_factory=lambda: GraphTransformer.preset("default"))
    """The network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3))
    """The optimiser."""

    def molecules(self, run: Run) -> Molecules:
        """The data, loaded once."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Read the data and tell what of it is used."""
        data = self.molecules(run)
        if not isinstance(data, Molecules):
            raise UsageError(f"{type(self.data).__name__} holds no molecules; choose one of the plugin's data sets")
        run.say(f"{data.source}: {len(data.train_smiles)} molecules to train, {len(data.test_smiles)} to test")
        for why, count in data.dropped.items():
            run.say(f"  dropped: {count} ({why})")

    def head(self, run: Run, kind: guidance.Kind = "generator") -> guidance.Head:
        """The network with a head."""
        conditions = self.conditions if kind == "generator" else 0
        return guidance.graph_head(self.network, self.molecules(run).elements, kind, conditions)

    def groups(self, run: Run) -> Sequence[Rows]:
        """The training molecules by number of atoms."""
        return self.molecules(run).train

    def padded(self, run: Run, groups: Sequence[Rows]) -> dict[str, np.ndarray]:
        """Molecules as rows of one width, and which atoms are real."""
        return self.molecules(run).padded(groups)

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """All "train" or "test" molecules."""
        return self.padded(run, getattr(self.molecules(run), split))

    def texts(self, run: Run, split: str) -> Sequence[str]:
        """Their SMILES."""
        return getattr(self.molecules(run), f"{split}_smiles")

    def space(self, run: Run, size: int | None = None) -> Space:
        """The sites of graphs of so many atoms, or of the largest ones."""
        data = self.molecules(run)
        return data.space(size or max(g.n for g in (*data.train, *data.test)))

    def width(self, size: int) -> int:
        """D."""
        return sites(size)

    def real(self, cond: Any) -> jax.Array:
        """Sites of real atoms and of pairs of these."""
        return real_sites(cond["mask"])

    def write(self, run: Run, name: str, groups: Sequence[Rows], seconds: float) -> None:
        """samples_<name>.smi and .sdf."""
        from genkit_molecules.chem import smiles_of, write_sdf

        found = [s for g in groups for s in smiles_of(g.x, self.molecules(run).elements, run.say)]
        file = name.replace("/", "_")
        write(run.folder / f"samples_{file}.smi", "".join(f"{s or ''}\n" for s in found))
        write_sdf(run.folder / f"samples_{file}.sdf", [s for s in found if s])
        self.took(run, name, seconds)

    def read(self, run: Run, name: str) -> list[str | None]:
        """The SMILES of a method; None where invalid."""
        path = run.folder / f"samples_{name.replace('/', '_')}.smi"
        try:
            return [line or None for line in path.read_text().split("\n")[:-1]]
        except FileNotFoundError:
            raise GenkitError(f"{path} is missing; run the experiment again without --resume") from None

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """<score>/<method> of `genkit_molecules.evaluation`: shares of the samples.

        Where there is a test set Frag, Scaf, SNN, IntDiv, Filters, distances of properties, the KL score, FRD (of RDKit
        descriptors), NSPDK_like, and with the extra `fcd` FCD to it, of 2000 samples at most, and bound/test, the
        model's bound on the test molecules, nats a molecule. rate/<method> is samples a second, compilation included.
        """
        from genkit_molecules import evaluation
        from genkit_molecules.nspdk import nspdk_like

        data = self.molecules(run)
        results: dict[str, float | None] = {}
        for name in self.methods():
            smiles = self.read(run, name)
            scores: dict[str, float] = evaluation.basic(smiles, data.train_smiles)
            if len(data.test_smiles) >= 3 and sum(s is not None for s in smiles[:SCORED]) >= 3:
                scores |= evaluation.moses(smiles[:SCORED], data.test_smiles[:SCORED])
                scores["KL"] = evaluation.guacamol_kl(smiles[:SCORED], data.test_smiles[:SCORED])["score"]
                scores["FRD"] = evaluation.frechet_descriptors(smiles[:SCORED], data.test_smiles[:SCORED])
                if find_spec("fcd"):
                    scores["FCD"] = evaluation.fcd(smiles[:SCORED], data.test_smiles[:SCORED])
                valid = [s for s in smiles[:PAIRED] if s]
                scores["NSPDK_like"] = nspdk_like(valid, data.test_smiles[:PAIRED]) if valid else float("nan")
            results |= {f"{kind}/{name}": value for kind, value in scores.items()}
        if data.test:
            results["bound/test"] = float(self.test_bound(run)(self.generator(run)))
        return results | self.rates(run)

    def report(self, run: Run) -> None:
        """A table of the scores, pictures of samples and of data."""
        from genkit_molecules.figures import grid

        results, methods = run.results, self.methods()
        kinds = list(dict.fromkeys(key.partition("/")[0] for key in results if key.partition("/")[2] in methods))
        run.table("results", ["score", *methods], [[k, *(results.get(f"{k}/{m}") for m in methods)] for k in kinds],
                  f"Samples of a model of {self.molecules(run).source}")  # fmt: skip
        for name in methods:
            run.figure(f"molecules_{name.replace('/', '_')}", grid(self.read(run, name)[:24]), f"Samples of {name}.")
        rng = np.random.default_rng(0)
        some = rng.choice(len(self.molecules(run).train_smiles), 24)
        run.figure("molecules_data", grid([self.molecules(run).train_smiles[k] for k in some]), "Data.")
