"""Crystals of a diffusion model whose errors a discriminator corrects."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.data import batches
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.folder import write_json
from genkit.kinds import Optimizer
from genkit.nn import functional, transfer
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit.train.phase import load
from genkit_crystals import guidance
from genkit_crystals.bucketed import Bucketed
from genkit_crystals.experiments.wyckoffdiff import WyckoffDiff
from genkit_crystals.guidance import LogOdds
from genkit_crystals.layout import Layout, encode, layout
from genkit_crystals.protostructure import Protostructure

TESTED = 512  # crystals of a validation


@dataclass(frozen=True)
class DiscriminatorGuidance(WyckoffDiff):
    """Correct crystals of WyckoffDiff by a discriminator: particles that look unlike data give way on the way.

    A discriminator of data and of the model's own samples, both noisy, is at its best the log of the ratio of their
    laws; under it as potential the particles' law is that of the data (Ekstrom Kelvinius and Lindsten 2024, arXiv
    2310.15817; Kim et al. 2023, arXiv 2211.17091). It begins as the denoiser. The same scores as crystals.wyckoffdiff,
    for the model alone and guided; label files and structures are of the guided crystals.
    """

    strides: int | None = 25
    """Steps of the sampler; T if not given."""
    samples: int = 500
    """Crystals to draw; as many real ones are held out."""
    particles: int = 8
    """Particles for each guided sample."""
    generated: int = 2000
    """Crystals of the model from which the discriminator learns."""
    discriminator_steps: int = 1200
    """Its training steps, each of as many crystals of both kinds as a step of the denoiser."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """Its optimiser."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of crystals.wyckoffdiff, with fewer steps of the sampler; tiny trains the discriminator little."""
        base = WyckoffDiff.preset(name)
        if name == "default":
            return cls()
        options = {f: getattr(base, f) for f in base.__dataclass_fields__}
        small: dict[str, Any] = {"strides": 4, "particles": 4, "generated": 40, "discriminator_steps": 10}
        return cls(**options | (small if name == "tiny" else {"strides": None, "generated": 100_000}))

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if self.generated < 20 or self.discriminator_steps < 1:
            raise UsageError(
                f"generated={self.generated} and discriminator_steps={self.discriminator_steps}; expected at "
                "least 20 and 1"
            )

    @property
    def models(self) -> dict[str, str]:
        """The model alone and corrected."""
        return super().models | {"discriminator": "under a discriminator"}

    def train(self, run: Run) -> None:
        """Train the denoiser, the encoder of the distance, and on what the model draws the discriminator."""
        super().train(run)
        self.log_odds(run)

    def log_odds(self, run: Run) -> Callable[[Layout], LogOdds]:
        """The trained discriminator."""
        real = self.crystals(run)[0].crystals
        return run.once("log_odds", lambda: self.fitted(run, "discriminator", real, self._generated(run)))

    def _generated(self, run: Run) -> list[Protostructure]:
        """Crystals of the model, called by the group for which they were drawn."""
        file = run.folder / "generated.json"
        if not file.exists():
            groups = self.groups(run, self.generated, run.seed + 1)
            run.say(f"drawing {self.generated} crystals for the discriminator")
            write_json(file, [c.label for c in self._draw(run, run.key("generated"), groups, "model").full])
        return [Protostructure.from_label(label) for label in json.loads(file.read_text())]

    def fitted(
        self, run: Run, name: str, yes: Sequence[Protostructure], no: Sequence[Protostructure]
    ) -> Callable[[Layout], LogOdds]:
        """Log-odds of yes at noisy crystals, of the training step with the least validation loss."""
        if min(len(yes), len(no)) < 2:
            raise UsageError(f"{name}: {len(yes)} crystals are yes and {len(no)} no; expected 2 of each")
        classes, processes = len(self.frequencies(run).x1), self.processes(run, self.final)
        build = self.network.build(nnx.Rngs(run.key(name)), self.length + 1, classes, "discriminator")
        network, fresh = functional(build)
        params = transfer(run.denoiser.params, fresh)
        train, held = guidance.divided(yes, no, run.seed)
        size = 2 * self.batch
        source = Bucketed.of(train.crystals, self.widths, size, classes, yes=train.yes)
        rule = self.discriminator_optimizer.build(self.discriminator_steps)

        def loss(params: Any, aux: Any, batch: tuple[Any, ...], key: jax.Array) -> Any:
            total = jnp.zeros(())
            for i, (part, slots) in enumerate(zip(batch, source.slots, strict=True)):
                own = LogOdds(network, params, slots)
                share = len(part["group"]) / size
                total += share * guidance.loss(jax.random.fold_in(key, i), own, part, processes)
            return total, (aux, {})

        def init(key: jax.Array) -> TrainState:
            return TrainState.create(params, rule, ema=False)

        every = max(10, self.discriminator_steps // 20), self._validation(network, held, processes, classes)
        step = make_step(loss, rule, clip=1.0)
        data = batches(source, size, seed=run.seed)
        phase = Phase(name, init, step, data, self.discriminator_steps, every=(every,))
        run.fit(phase)
        best = load(phase, run.folder, "best").params
        return lambda slots: LogOdds(network, best, slots)

    def _validation(self, network: Any, held: guidance.Labelled, processes: Any, classes: int) -> Any:
        some = slice(None, None, max(1, len(held.crystals) // TESTED))
        slots = layout([c.group for c in held.crystals[some]])
        batch = encode(held.crystals[some], slots, classes)[:] | {"yes": held.yes[some]}

        @jax.jit
        def mean(params: Any) -> Any:
            own = LogOdds(network, params, slots)
            keys = jax.random.split(jax.random.key(0), 4)
            return jax.lax.map(lambda key: guidance.loss(key, own, batch, processes), keys).mean()

        return lambda state, step: {"val/loss": float(mean(state.params))}

    def log_potential(self, run: Run, name: str) -> Callable[[Layout], Any] | None:
        """The discriminator's log-odds."""
        return None if name == "model" else self.log_odds(run)
