"""A discrete model of protein sequences."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.data import batches
from genkit.discrete import sample
from genkit.errors import GenkitError, UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Dataset, Network, Optimizer
from genkit.nn import functional
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit_molecules.datasets.solvable import HiddenMarkov
from genkit_molecules.denoisers import SequenceNet
from genkit_molecules.models import Discrete, Name, Space, in_parallel, site_costs
from genkit_molecules.networks.bytenet import ByteNet
from genkit_molecules.sequences import Sequences, write_fasta

AT_ONCE = 1024  # sequences that are sampled at a time
SCORED = 1000  # sequences whose similarities are computed


@dataclass(frozen=True)
class ProteinARDM(Experiment):
    """Learn protein sequences by an order-agnostic model or by discrete diffusion, sample them, score the samples.

    Order-agnostic autoregression and the network are those of EvoDiff-Seq (arXiv 2309.04175). The samples are in
    samples.fasta. Of the hidden Markov model the exact likelihood of data and samples is told too.
    """

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
        for name in ("steps", "batch", "samples", "diffusion_steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
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

    def space(self, run: Run) -> Space:
        """Sites and letters."""
        rows = self.sequences(run).rows("train")
        weights = np.bincount(rows["x"][rows["mask"]], minlength=self.sequences(run).classes)
        return Space(self.sequences(run).classes, weights + 1e-6)

    def net(self, run: Run, params: Any, key: Any = None) -> SequenceNet:
        """The network with these parameters."""
        apply = functional(self.network.build(nnx.Rngs(0), self.sequences(run).classes))[0]
        return SequenceNet(params, apply, key, self.discrete().unit)

    def train(self, run: Run) -> None:
        """Train it."""
        self.params(run)

    def params(self, run: Run) -> Any:
        """Parameters of the trained network."""
        return run.once("params", lambda: run.fit(self._phase(run)).params)

    def _phase(self, run: Run) -> Phase:
        data, rule, space, model = (
            self.sequences(run),
            self.optimizer.build(self.steps),
            self.space(run),
            self.discrete(),
        )
        net = self.net(run, None)

        def loss(params: Any, aux: None, batch: Any, key: Any) -> Any:
            k_loss, k_drop = jax.random.split(key)
            x, mask = _arrays(batch)
            denoiser = SequenceNet(params, net.apply, k_drop, net.unit)
            return model.loss(k_loss, denoiser, x, {"mask": mask}, mask, space), (aux, {})

        def init(key: Any) -> TrainState:
            return TrainState.create(functional(self.network.build(nnx.Rngs(key), data.classes))[1], rule, ema=False)

        bound = self._bound(run)
        every = ()
        if bound:
            every = ((max(1, self.steps // 10), lambda state, step: {"val/loss": float(bound(state.params))}),)
        rows = batches(data.rows("train"), self.batch, seed=run.seed)
        return Phase("model", init, make_step(loss, rule, clip=1.0), rows, self.steps, every=every)

    def _bound(self, run: Run) -> Any:
        """The bound on some test sequences as a function of parameters; None without tests."""
        data, space, model, net = self.sequences(run), self.space(run), self.discrete(), self.net(run, None)
        if not len(data.test):
            return None
        some = {k: v[: 8 * self.batch] for k, v in data.rows("test").items()}

        @jax.jit
        def loss(params: Any) -> Any:
            x, mask = _arrays(some)
            denoiser = SequenceNet(params, net.apply, None, net.unit)
            return model.loss(jax.random.key(0), denoiser, x, {"mask": mask}, mask, space)

        return loss

    def denoiser(self, run: Run) -> SequenceNet:
        """The trained model."""
        return self.net(run, self.params(run))

    def budget(self, run: Run) -> tuple[int, ...] | None:
        """Which sites are revealed together."""
        if not self.calls:
            return None
        data = self.sequences(run)
        whole = data.train[data.train_lengths == data.length][: 8 * self.batch]
        x = jnp.asarray(whole, jnp.int32)
        cost = site_costs(jax.random.key(0), run.denoiser, x, {"mask": jnp.ones(x.shape, bool)}, self.space(run))
        return in_parallel(cost, self.calls)

    def draw(self, run: Run, key: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        """n sequences, rows and lengths; lengths are as frequent as in the data."""
        data = self.sequences(run)
        lengths = np.random.default_rng(run.seed).choice(data.train_lengths, n)
        sampler, at_once = self.discrete().sampler(self.space(run), self.budget(run)), min(n, AT_ONCE)
        mask = np.arange(data.length) < np.resize(lengths, -(-n // at_once) * at_once)[:, None]
        parts = []
        for k, part in enumerate(mask.reshape(-1, at_once, data.length)):
            x = sample(jax.random.fold_in(key, k), sampler, run.denoiser, part.shape, {"mask": jnp.asarray(part)},
                       mask=jnp.asarray(part))  # fmt: skip
            parts.append(np.asarray(x, np.uint8))
        return np.concatenate(parts)[:n], lengths

    def sample(self, run: Run) -> None:
        """Draw and write."""
        begun = time.perf_counter()
        x, lengths = self.draw(run, run.key("sample"), self.samples)
        write_arrays(run.folder / "samples.npz", {"x": x, "lengths": lengths, "seconds": time.perf_counter() - begun})
        write_fasta(run.folder / "samples.fasta", self.sequences(run).text(x, lengths))

    def drawn(self, run: Run) -> dict[str, np.ndarray]:
        """The samples."""
        try:
            with np.load(run.folder / "samples.npz") as file:
                return dict(file)
        except FileNotFoundError:
            raise GenkitError(f"{run.folder} has no samples.npz; run the experiment again without --resume") from None

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of `genkit_molecules.sequence_scores` for samples, and for test data, <score>/test.

        bound/test: nats a test sequence; perplexity/test: exp of that a site. Of a known law: nll/samples and nll/test,
        its exact mean -log p, and entropy_gap/test, the bound less nll/test, 0 at the best. rate: samples a second.
        """
        from genkit_molecules.sequence_scores import scores

        data, drawn = self.sequences(run), self.drawn(run)
        texts = data.text(drawn["x"], drawn["lengths"])
        train = data.text(data.train[:SCORED], data.train_lengths[:SCORED])
        results: dict[str, float | None] = {"rate": len(texts) / float(drawn["seconds"])}
        test = data.text(data.test[:SCORED], data.test_lengths[:SCORED])
        results |= scores(texts[:SCORED], test or train, train)
        if test:
            results |= {f"{name}/test": value for name, value in scores(test, train, train).items()}
            bound = self._bound(run)
            results["bound/test"] = float(bound(self.params(run)))
            results["perplexity/test"] = float(
                np.exp(results["bound/test"] / data.test_lengths[: 8 * self.batch].mean())
            )
        if data.oracle is not None:
            log_prob = jax.jit(data.oracle.log_prob)
            results["nll/samples"] = -float(log_prob(drawn["x"].astype(np.int32)).mean())
            some = data.test[: 8 * self.batch].astype(np.int32)
            exactly = -float(log_prob(some).mean())
            results |= {"nll/test": exactly, "entropy_gap/test": (results["bound/test"] or 0.0) - exactly}
        return results

    def report(self, run: Run) -> None:
        """A table of the scores, frequencies of amino acids, some samples."""
        from genkit_molecules.figures import letters

        results, data, drawn = run.results, self.sequences(run), self.drawn(run)
        kinds = [key for key in results if not key.endswith("/test")]
        rows = [[k, results[k], results.get(f"{k}/test")] for k in kinds if "/" not in k]
        rows += [[k, None, results[k]] for k in results if k.endswith("/test") and k.partition("/")[0] not in kinds]
        if "nll/samples" in results:
            rows.append(["nll under the true law", results["nll/samples"], results["nll/test"]])
        run.table("results", ["score", "samples", "test data"], rows, f"Sequences of a model of {data.source}")
        texts = data.text(drawn["x"], drawn["lengths"])
        run.table("samples", ["sample"], [[text] for text in texts[:12]], "Samples")
        run.figure("letters", letters(data.text(data.train, data.train_lengths), texts, data.alphabet),
                   "Frequencies of the letters in data and samples, all sites together and site by site.")  # fmt: skip


def _arrays(batch: Any) -> tuple[Any, Any]:
    return jnp.asarray(batch["x"], jnp.int32), jnp.asarray(batch["mask"])
