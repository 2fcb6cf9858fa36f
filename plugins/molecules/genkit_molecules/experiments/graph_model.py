"""What experiments that train a discrete model of molecules share: data, training, samples, scores, report."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.discrete import sample
from genkit.errors import GenkitError, UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write, write_json
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_molecules import guidance
from genkit_molecules.data import Graphs, Molecules
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.denoisers import GraphDenoiser
from genkit_molecules.graphs import sites
from genkit_molecules.models import Discrete, Space
from genkit_molecules.networks.graph_transformer import GraphTransformer

AT_ONCE = 1024  # molecules that are sampled at a time
PAIRED = 500  # molecules whose pairs of neighbourhoods are counted
SCORED = 2000  # molecules whose similarities are computed: a matrix of all pairs


@dataclass(frozen=True)
class GraphModel(Experiment):
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

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("steps", "batch", "samples", "sizes"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

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

    def train(self, run: Run) -> None:
        """Train the generator."""
        self.generator(run)

    def generator(self, run: Run) -> Any:
        """Its parameters."""
        return run.once("generator", lambda: run.fit(self._phase(run)).params)

    def discrete(self) -> Discrete:
        """Which model it is."""
        raise NotImplementedError

    def space(self, run: Run, n: int) -> Space:
        """The sites of graphs of n atoms."""
        return self.molecules(run).space(n)

    def loss(self, key: Any, model: GraphDenoiser, x: Any, cond: Any, space: Space) -> Any:
        """What training minimises, of rows x (B, D) and conditions."""
        return self.bound(key, model, x, cond, space)

    def bound(self, key: Any, model: GraphDenoiser, x: Any, cond: Any, space: Space) -> Any:
        """The bound on -log p(x), nats a molecule."""
        return self.discrete().loss(key, model, x, cond, guidance.shown(cond), space)

    def _phase(self, run: Run) -> Any:
        data, space = self.molecules(run), self._widest(run)
        every = ()
        if data.test:
            bound = self._bound(run)
            every = ((max(1, self.steps // 10), lambda state, step: {"val/loss": float(bound(state.params))}),)
        return guidance.generator_phase(
            self.network, data.elements, partial(self._objective, space), self.optimizer, self.steps,
            self.inputs, batches(self.rows(run, "train"), self.batch, seed=run.seed), every, self.conditions,
        )  # fmt: skip

    def _objective(self, space: Space, key: Any, model: GraphDenoiser, x: Any, cond: Any) -> Any:
        return self.loss(key, replace(model, unit=self.discrete().unit), x, cond, space)

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """Rows of the "train" or "test" molecules, as `inputs` takes them."""
        data = self.molecules(run)
        return data.padded(getattr(data, split))

    def inputs(self, batch: Any, key: Any) -> guidance.Batch:
        """Rows, and which atoms are real."""
        return jnp.asarray(batch["x"], jnp.int32), {"mask": jnp.asarray(batch["mask"])}

    def sampler(self, run: Run, n: int) -> Any:
        """The sampler of graphs of n atoms."""
        return self.discrete().sampler(self.space(run, n))

    @property
    def conditions(self) -> int:
        """Width of what the network is conditioned on."""
        return 0

    def _widest(self, run: Run) -> Space:
        data = self.molecules(run)
        return self.space(run, max(g.n for g in (*data.train, *data.test)))

    def _bound(self, run: Run) -> Any:
        """The bound on some test molecules as a function of parameters."""
        data, space, unit = self.molecules(run), self._widest(run), self.discrete().unit
        apply = guidance.generator(self.network, data.elements, self.conditions)
        some = {k: v[: 4 * self.batch] for k, v in self.rows(run, "test").items()}

        @jax.jit
        def bound(params: Any) -> Any:
            model = GraphDenoiser(params, apply, len(data.elements), None, unit)
            return self.bound(jax.random.key(0), model, *self.inputs(some, jax.random.key(1)), space)

        return bound

    def denoiser(self, run: Run) -> Any:
        """The trained model."""
        net = guidance.denoiser_of(self.network, self.molecules(run).elements, self.generator(run), self.conditions)
        return replace(net, unit=self.discrete().unit)

    def draw(self, run: Run, key: Any, n: int) -> list[Graphs]:
        """n molecules as graphs, by their number of atoms."""
        return self.graphs(run, key, n, lambda key, sampler, shape: sample(key, sampler, run.denoiser, shape))

    def graphs(self, run: Run, key: Any, n: int, method: Any) -> list[Graphs]:
        """n molecules by method(key, sampler, (count, D)), of sizes as frequent as in the data."""
        data = self.molecules(run)
        common = sorted(data.sizes, key=lambda size: -data.sizes[size])[: self.sizes]
        share = np.array([data.sizes[size] for size in common], float)
        counts = np.random.default_rng(run.seed).multinomial(n, share / share.sum())
        found = []
        for size, count in zip(common, counts, strict=True):
            sampler = self.sampler(run, size)
            at_once = min(count, AT_ONCE)
            own = jax.random.fold_in(key, size)
            parts = [method(jax.random.fold_in(own, k), sampler, (int(at_once), sites(size)))
                     for k in range(-(-count // at_once) if count else 0)]  # fmt: skip
            if parts:
                found.append(Graphs(size, np.concatenate([np.asarray(p, np.uint8) for p in parts])[:count]))
        return found

    def name(self) -> str:
        """What its samples are called."""
        return self.discrete().name

    def sample(self, run: Run) -> None:
        """Draw, turn into SMILES, write."""
        begun = time.perf_counter()
        graphs = self.draw(run, run.key("sample"), self.samples)
        self.write(run, self.name(), graphs, time.perf_counter() - begun)

    def write(self, run: Run, name: str, graphs: list[Graphs], seconds: float) -> None:
        """samples_<name>.smi, .sdf and the seconds that sampling took, compilation included."""
        from genkit_molecules.chem import smiles_of, write_sdf

        found = [s for g in graphs for s in smiles_of(g.x, self.molecules(run).elements, run.say)]
        file = name.replace("/", "_")
        write(run.folder / f"samples_{file}.smi", "".join(f"{s or ''}\n" for s in found))
        write_sdf(run.folder / f"samples_{file}.sdf", [s for s in found if s])
        times = run.folder / "seconds.json"
        known = json.loads(times.read_text()) if times.exists() else {}
        write_json(times, {**known, name: seconds})

    def methods(self) -> list[str]:
        """Names of what was sampled."""
        return [self.name()]

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
        descriptors) and NSPDK_like to it, of 2000 samples at most, and bound/test, the model's bound on the test
        molecules, nats a molecule. rate/<method> is samples a second, compilation included.
        """
        from genkit_molecules import evaluation
        from genkit_molecules.nspdk import nspdk_like

        data = self.molecules(run)
        seconds = json.loads((run.folder / "seconds.json").read_text())
        results: dict[str, float | None] = {}
        for name in self.methods():
            smiles = self.read(run, name)
            scores: dict[str, float] = evaluation.basic(smiles, data.train_smiles)
            if len(data.test_smiles) >= 3 and sum(s is not None for s in smiles[:SCORED]) >= 3:
                scores |= evaluation.moses(smiles[:SCORED], data.test_smiles[:SCORED])
                scores["KL"] = evaluation.guacamol_kl(smiles[:SCORED], data.test_smiles[:SCORED])["score"]
                scores["FRD"] = evaluation.frechet_descriptors(smiles[:SCORED], data.test_smiles[:SCORED])
                valid = [s for s in smiles[:PAIRED] if s]
                scores["NSPDK_like"] = nspdk_like(valid, data.test_smiles[:PAIRED]) if valid else float("nan")
            results |= {f"{kind}/{name}": value for kind, value in scores.items()}
            results[f"rate/{name}"] = len(smiles) / seconds[name]
        if data.test:
            results["bound/test"] = float(self._bound(run)(self.generator(run)))
        return results

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
