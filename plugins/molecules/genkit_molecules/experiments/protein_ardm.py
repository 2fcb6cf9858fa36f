"""A discrete model of protein sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import sample
from genkit.errors import GenkitError, UsageError
from genkit.experiment import Run
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_molecules import guidance
from genkit_molecules.datasets.proteins import records
from genkit_molecules.datasets.solvable import HiddenMarkov
from genkit_molecules.experiments.discrete_model import AT_ONCE, TESTED, DiscreteModel
from genkit_molecules.models import Discrete, Name, Space, in_parallel, site_costs
from genkit_molecules.networks.bytenet import ByteNet
from genkit_molecules.rows import Rows
from genkit_molecules.sequences import Sequences, encode, write_fasta

SCORED = 1000  # sequences whose similarities are computed


@dataclass(frozen=True)
class ProteinARDM(DiscreteModel):
    """Learn protein sequences by an order-agnostic model or by discrete diffusion, sample them, score the samples.

    Order-agnostic autoregression and the network are those of EvoDiff-Seq (arXiv 2309.04175). The samples are
    in samples_<model>.fasta. Of laws that are known the exact likelihood of data and samples is told too.
    """

    clip: ClassVar[float | None] = 1.0

    data: Dataset = field(default_factory=HiddenMarkov)
    """The sequences."""
    model: Name = "ardm"
    """Order-agnostic (ardm), masked diffusion (masked, euler, flow), or D3PM (uniform, marginal, absorbing)."""
    diffusion_steps: int = 100
    """Steps of diffusion."""
    calls: int = 0
    """Network calls of an ardm that reveals several sites at once; 0 is one a site, which alone is exact."""
    eta: float = 0.0
    """Rate at which flow hides sites again."""
    steps: int = 1500
    """Training steps."""
    batch: int = 64
    """Sequences in a step."""
    samples: int = 1000
    """Sequences to draw."""
    network: Network = field(default_factory=lambda: ByteNet.preset("default"))
    """The network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3))
    """The optimiser."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (the network and learning rate of EvoDiff-Seq, 38 M parameters)."""
        if name == "tiny":
            return cls(data=HiddenMarkov(length=8, train=200, test=50), steps=20, batch=16, samples=40,
                       network=ByteNet.preset("tiny"))  # fmt: skip
        if name == "paper":
            return cls(
                steps=500_000, batch=256, samples=10_000, network=ByteNet(), optimizer=AdamW(lr=1e-4, warmup=10_000)
            )
        if name != "default":
            raise UsageError(f"no preset {name!r}; there are tiny, default and paper")
        return cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if self.diffusion_steps < 1:
            raise UsageError(f"diffusion_steps={self.diffusion_steps} is too few; expected at least 1")
        if self.calls and self.model != "ardm":
            raise UsageError(
                f"calls={self.calls} with model={self.model}; network calls of diffusion are diffusion_steps"
            )

    def sequences(self, run: Run) -> Sequences:
        """The data, loaded once."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Read the data and tell what of it is used."""
        data = self.sequences(run)
        if not isinstance(data, Sequences):
            raise UsageError(f"{type(self.data).__name__} holds no sequences; choose a data set of proteins")
        if self.calls > data.length:
            raise UsageError(f"calls={self.calls} for {data.length} sites; expected at most one a site")
        run.say(f"{data.source}: {len(data.train)} sequences to train, {len(data.test)} to test, {data.length} sites")
        for why, count in data.dropped.items():
            run.say(f"  dropped: {count} ({why})")

    def discrete(self) -> Discrete:
        """The model."""
        return Discrete(self.model, steps=self.diffusion_steps, eta=self.eta)

    def head(self, run: Run, kind: guidance.Kind = "generator") -> guidance.Head:
        """The network with a head."""
        conditions = self.conditions if kind == "generator" else 0
        return guidance.sequence_head(self.network, self.sequences(run).classes, kind, conditions)

    def groups(self, run: Run) -> Sequence[Rows]:
        """The training sequences by length."""
        return self.sequences(run).groups

    def padded(self, run: Run, groups: Sequence[Rows]) -> dict[str, np.ndarray]:
        """Sequences as rows of one width, and which sites are real."""
        return self.sequences(run).padded(groups)

    def rows(self, run: Run, split: str) -> dict[str, np.ndarray]:
        """All "train" or "test" sequences."""
        return self.sequences(run).rows(split)

    def texts(self, run: Run, split: str) -> list[str]:
        """Their letters."""
        data = self.sequences(run)
        return data.text(getattr(data, split), getattr(data, f"{split}_lengths"))

    def space(self, run: Run, size: int | None = None) -> Space:
        """Sites and letters, which are the same for all lengths."""
        return run.once("space", lambda: self._space(run))

    def _space(self, run: Run) -> Space:
        rows, k = self.rows(run, "train"), self.sequences(run).classes
        return Space(k, np.bincount(rows["x"][rows["mask"]], minlength=k) + 1e-6)

    def width(self, size: int) -> int:
        """L."""
        return size

    def real(self, cond: Any) -> jax.Array:
        """The sites of the sequences."""
        return cond["mask"]

    def sampler(self, run: Run, size: int) -> Any:
        """One site a step, or by the budget of fewer calls with the least loss on training sequences."""
        budget = None
        if self.calls:
            data = self.sequences(run)
            x = jnp.asarray(data.train[data.train_lengths == data.length][:TESTED], jnp.int32)
            cost = site_costs(jax.random.key(0), run.denoiser, x, {"mask": jnp.ones(x.shape, bool)}, self.space(run))
            budget = in_parallel(cost, self.calls)
        return self.discrete().sampler(self.space(run), budget)

    def draw(self, run: Run, key: Any, n: int) -> list[Rows]:
        """n sequences by their length; lengths are as frequent as in the data, and drawn together."""
        data = self.sequences(run)
        lengths = np.random.default_rng(run.seed).choice(data.train_lengths, n)
        sampler, at_once = self.sampler(run, data.length), min(n, AT_ONCE)
        mask = np.arange(data.length) < np.resize(lengths, -(-n // at_once) * at_once)[:, None]
        parts = []
        for k, part in enumerate(mask.reshape(-1, at_once, data.length)):
            x = sample(jax.random.fold_in(key, k), sampler, run.denoiser, part.shape, {"mask": jnp.asarray(part)},
                       mask=jnp.asarray(part))  # fmt: skip
            parts.append(np.asarray(x, np.uint8))
        x = np.concatenate(parts)[:n]
        return [Rows(int(size), x[lengths == size, :size]) for size in np.unique(lengths)]

    def write(self, run: Run, name: str, groups: Sequence[Rows], seconds: float) -> None:
        """samples_<name>.fasta."""
        texts = [text for g in groups for text in self.sequences(run).text(g.x)]
        write_fasta(run.folder / f"samples_{name.replace('/', '_')}.fasta", texts)
        self.took(run, name, seconds)

    def read(self, run: Run, name: str) -> list[str]:
        """The letters of what a method drew."""
        path = run.folder / f"samples_{name.replace('/', '_')}.fasta"
        if not path.exists():
            raise GenkitError(f"{path} is missing; run the experiment again without --resume")
        return [text for _, _, text in records(path)]

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """<score>/<method> of `genkit_molecules.sequence_scores`, and for test data <score>/test.

        bound/test: nats a test sequence; perplexity/test: exp of that a site. Of a known law nll/<method> and nll/test,
        its exact mean -log p, and entropy_gap/test, the bound less nll/test, 0 at the best. rate/<method>: samples a
        second, compilation included.
        """
        from genkit_molecules.sequence_scores import scores

        data = self.sequences(run)
        train, test = self.texts(run, "train")[:SCORED], self.texts(run, "test")[:SCORED]
        results: dict[str, float | None] = {}
        for name in self.methods():
            found = scores(self.read(run, name)[:SCORED], test or train, train)
            results |= {f"{kind}/{name}": value for kind, value in found.items()}
        nll = None if data.oracle is None else jax.jit(lambda x: -data.oracle.log_prob(x).mean())
        if nll:
            for name in self.methods():
                x = encode(self.read(run, name), data.alphabet, data.length)
                results[f"nll/{name}"] = float(nll(x.astype(np.int32)))
        if test:
            results |= {f"{name}/test": value for name, value in scores(test, train, train).items()}
            bound = float(self.test_bound(run)(self.generator(run)))
            results["bound/test"] = bound
            results["perplexity/test"] = float(np.exp(bound / data.test_lengths[:TESTED].mean()))
            if nll:
                exactly = float(nll(data.test[:TESTED].astype(np.int32)))
                results |= {"nll/test": exactly, "entropy_gap/test": bound - exactly}
        return results | self.rates(run)

    def report(self, run: Run) -> None:
        """A table of the scores, frequencies of amino acids, some samples."""
        from genkit_molecules.figures import letters

        results, data, columns = run.results, self.sequences(run), [*self.methods(), "test"]
        kinds = list(dict.fromkeys(key.partition("/")[0] for key in results if key.partition("/")[2] in columns))
        run.table("results", ["score", *self.methods(), "test data"],
                  [[k, *(results.get(f"{k}/{name}") for name in columns)] for k in kinds],
                  f"Sequences of a model of {data.source}")  # fmt: skip
        for name in self.methods():
            texts, file = self.read(run, name), name.replace("/", "_")
            run.table(f"samples_{file}", ["sample"], [[text] for text in texts[:12]], f"Samples of {name}")
            run.figure(f"letters_{file}", letters(self.texts(run, "train"), texts, data.alphabet),
                       f"Frequencies of the letters in data and samples of {name}, all sites together and site by "
                       "site.")  # fmt: skip
