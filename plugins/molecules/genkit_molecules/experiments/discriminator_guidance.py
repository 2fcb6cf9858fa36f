"""A model of molecules corrected by a discriminator."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.discrete import sample
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Optimizer
from genkit.steer import ARDG, BSDG, FADG, guide
from genkit.train import AdamW
from genkit.train.phase import load
from genkit_molecules import guidance
from genkit_molecules.data import Graphs
from genkit_molecules.denoisers import GraphLogOdds
from genkit_molecules.experiments.ardm import ARDM

PARTICLES = 2500  # at a time


@dataclass(frozen=True)
class DiscriminatorGuidance(ARDM):
    """Train a generator of molecules and a discriminator of its samples; compare the model with guided samplers.

    ARDM, ARDG, BSDG and FADG of Kelvinius and Lindsten 2024 (arXiv 2310.15817). The discriminator starts as the
    generator, sees partly hidden molecules, and is kept where its validation loss is least. ARDG alone can be worse
    than the model.
    """

    particles: tuple[int, ...] = (5, 10)
    """Particles a sample of BSDG and FADG."""
    generated: int = 5000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 1000
    """Training steps of the discriminator."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=5e-4))
    """Its optimiser."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.ardm`; the paper's with 130 831 generated molecules and lr 5e-5."""
        base = super().preset(name)
        if name == "tiny":
            return replace(base, particles=(2,), generated=40, discriminator_steps=20)
        if name == "paper":
            optimizer = AdamW(lr=5e-5, warmup=0, schedule="constant")
            return replace(base, particles=(1, 5, 10, 50), generated=130_831, discriminator_steps=400_000,
                            discriminator_optimizer=optimizer)  # fmt: skip
        return base

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if not self.particles or min(self.particles) < 1 or self.discriminator_steps < 1 or self.generated < 20:
            raise UsageError(
                f"particles={self.particles}, discriminator_steps={self.discriminator_steps}, generated="
                f"{self.generated}; expected at least 1, 1 and 20"
            )

    def train(self, run: Run) -> None:
        """Train the generator, sample it, train the discriminator."""
        self.log_odds(run)

    def log_odds(self, run: Run) -> GraphLogOdds:
        """The trained discriminator."""
        return run.once("log_odds", lambda: self._log_odds(run))

    def _log_odds(self, run: Run) -> GraphLogOdds:
        pairs = self._pairs(run)
        count = max(1, len(pairs["x"]) // 10)
        train, val = ({k: v[part] for k, v in pairs.items()} for part in (slice(count, None), slice(count)))
        return self.fitted(run, "discriminator", partial(guidance.discriminate, orders=self.discrete().orders), _pair,
                           train, val)  # fmt: skip

    def fitted(self, run: Run, name: str, loss: Any, draw: Any, train: Any, val: Any) -> GraphLogOdds:
        """The network trained by loss(key, log_odds, draw(batch, key)), from where its validation loss is least."""
        data = self.molecules(run)
        apply, size = guidance.discriminator(self.network, data.elements), len(data.elements)
        some = {k: v[: 4 * self.batch] for k, v in val.items()}

        @jax.jit
        def validation(params: Any) -> Any:
            log_odds, keys = GraphLogOdds(params, apply, size), jax.random.split(jax.random.key(0), 4)
            return jax.lax.map(lambda k: loss(k, log_odds, draw(some, None)), keys).mean()

        steps = self.discriminator_steps
        every = ((max(10, steps // 20), lambda state, step: {"val/loss": float(validation(state.params))}),)
        phase = guidance.discriminator_phase(
            self.network, data.elements, loss, self.discriminator_optimizer, steps, draw, self.generator(run),
            batches(train, self.batch, seed=run.seed), every, name,
        )  # fmt: skip
        run.fit(phase)
        return GraphLogOdds(load(phase, run.folder, "best").params, apply, size)

    def _pairs(self, run: Run) -> dict[str, np.ndarray]:
        """Every training molecule of a size that is sampled with a generated one of as many atoms, in random order."""
        file = run.folder / "generated.npz"
        if not file.exists():
            graphs = self.draw(run, run.key("generated"), self.generated)
            write_arrays(file, {str(g.n): g.x for g in graphs})
        with np.load(file) as kept:
            fake = {int(n): x for n, x in kept.items()}
        rng, data = np.random.default_rng(run.seed), self.molecules(run)
        real = [g for g in data.train if g.n in fake]
        chosen = [Graphs(g.n, fake[g.n][rng.permutation(np.resize(np.arange(len(fake[g.n])), len(g.x)))]) for g in real]
        both = data.padded(real) | {"fake": data.padded(chosen)["x"]}
        order = rng.permutation(len(both["x"]))
        return {k: v[order] for k, v in both.items()}

    def methods(self) -> list[str]:
        """Names of what was sampled."""
        return ["ardm/1", "ardg/1", *(f"{name}/{n}" for n in self.particles for name in ("bsdg", "fadg"))]

    def guided(self, run: Run) -> dict[str, tuple[BSDG, Any]]:
        """Guided samplers and their potentials, by the names of their results."""
        log_odds = self.log_odds(run)
        found: dict[str, tuple[BSDG, Any]] = {"ardg/1": (ARDG(), log_odds)}
        for n in self.particles:
            found |= {f"bsdg/{n}": (BSDG(n), log_odds), f"fadg/{n}": (FADG(n), log_odds)}
        return found

    def drawer(self, run: Run, name: str) -> Any:
        """method(key, sampler, (count, D)) -> graphs of a method."""
        found = self.guided(run).get(name)
        if found is None:
            return lambda key, sampler, shape: sample(key, sampler, run.denoiser, shape)
        method, potential = found

        def draw(key: Any, sampler: Any, shape: Any) -> Any:
            chunk = min(shape[0], max(1, PARTICLES // method.particles))
            return guide(key, method, sampler, run.denoiser, potential, shape, chunk=chunk).x[:, 0]

        return draw

    def sample(self, run: Run) -> None:
        """Draw by every method."""
        for name in self.methods():
            drawer, begun = self.drawer(run, name), time.perf_counter()
            graphs = self.graphs(run, run.key("sample"), self.samples, drawer)
            self.write(run, name, graphs, time.perf_counter() - begun)


def _pair(batch: Any, key: Any) -> tuple[Any, Any, Any]:
    x, fake = (jnp.asarray(batch[name], jnp.int32) for name in ("x", "fake"))
    return x, fake, {"mask": jnp.asarray(batch["mask"])}
