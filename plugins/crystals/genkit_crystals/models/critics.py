"""Recipes of models with critics: a discriminator that corrects them, a classifier that steers them to a property."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.files import write_json
from genkit.kinds import Model, Optimizer
from genkit.model import Critic, CriticRecipe, divided, learn_critic
from genkit.nn import Net, transfer
from genkit.train import AdamW
from genkit_crystals.chains import (
    Answers,
    Bucketed,
    Known,
    LogOdds,
    binned,
    bins_loss,
    critic_loss,
    edges_of,
    encode,
    layout,
    values_of,
)
from genkit_crystals.data import Crystals
from genkit_crystals.models.generator import WyckoffDiffusion
from genkit_crystals.models.request import Draw
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.networks import Sizes
from genkit_crystals.protostructures import Protostructure

HELD, TESTED = 10, 512  # one of so many crystals is held out for validation, at most so many
LEAST = 20  # crystals with a value


@dataclass(frozen=True, kw_only=True)
class Corrected(CriticRecipe):
    """A diffusion model and a discriminator of noisy data and noisy samples of the model, which begins as its denoiser.

    Its log-odds are at best the log of the ratio of both laws (Ekstrom Kelvinius and Lindsten 2024, arXiv 2310.15817;
    Kim et al. 2023, arXiv 2211.17091).
    """

    fixed: ClassVar[tuple[str, ...]] = ("generator", "generated", "discriminator_steps")

    generator: Model[Crystals, CrystalModel] = field(default_factory=WyckoffDiffusion)
    """The model alone: trained here, or the path of a trained one."""
    generated: int = 2000
    """Crystals of the model from which the discriminator learns."""
    discriminator_steps: int = 1200
    """Training steps of each critic, each of as many crystals of both kinds as a step of the denoiser."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser of the critics."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default, paper; of the sampler fewer steps, with which the discriminator goes."""
        own: dict[str, Any] = {"tiny": {"generated": 20, "discriminator_steps": 10}, "paper": {"generated": 100_000}}
        strides = {"tiny": 4, "default": 25}.get(name)
        return cls(generator=replace(WyckoffDiffusion.preset(name), strides=strides), **own.get(name, {}))

    def fit(self, run: Any, data: Crystals, start: CrystalModel | None = None) -> CrystalModel:
        """Train the denoiser, and on what the model draws the discriminator."""
        model = self.generator.obtain(run, data, run.trust) if start is None else start  # type: ignore[attr-defined]
        crystals = [*data.crystals, *self._generated(run, model, data)]
        first = None if start is None else start.discriminator
        found = self.learned(run, "discriminator", model, crystals, np.arange(len(crystals)) < len(data), first)
        return replace(model, discriminator=Critic(found))

    def _generated(self, run: Any, model: CrystalModel, data: Crystals) -> list[Protostructure]:
        """Crystals of the model, called by the group for which they were drawn."""
        file = run.folder / "generated.json"
        if not file.exists():
            run.say(f"drawing {self.generated} crystals for the discriminator")
            groups = data.some_groups(self.generated, run.seed + 1, model.known)
            drawn = Draw(method="alone").drawn(model, run.key("generated"), groups)
            write_json(file, [c.label for c in drawn.full])
        return [Protostructure.from_label(label) for label in json.loads(file.read_text())]

    def learned(
        self,
        run: Any,
        name: str,
        model: CrystalModel,
        crystals: list[Protostructure],
        yes: np.ndarray,
        first: Critic | None,
    ) -> LogOdds:
        """Log-odds of yes (n,) at noisy crystals where both kinds are equally frequent, perhaps from a first critic."""
        train, held = divided(yes, run.seed, f"crystals of the {name}")
        parts = [([crystals[i] for i in part.places], {"yes": part.yes}) for part in (train, held.some)]
        start = None if first is None else first.network
        return self._learned(run, name, model, parts, 1, LogOdds, critic_loss, start)

    def _learned(
        self,
        run: Any,
        name: str,
        model: CrystalModel,
        parts: list[tuple[list[Protostructure], dict[str, np.ndarray]]],
        outputs: int,
        kind: type[Any],
        loss_of: Callable[..., Any],
        first: Any,
    ) -> Any:
        """A critic with some outputs; `parts` are crystals and what is said of them, for training and validation."""
        network = Net(model.network.component, (Sizes(model.length + 1, model.classes, outputs),))
        begin = jax.jit(lambda key, known: transfer(known, network.init(key)))  # what is replaced is not drawn
        params = begin(run.key(name), model.params) if first is None else first.params
        size, processes = 2 * getattr(self.generator, "batch", 64), model.processes(model.final)
        (some, more), (seen, known) = parts
        source = Bucketed.of(some, model.widths, size, model.classes, **more)
        slots = layout(c.group for c in seen)
        held = (encode(seen, slots, model.classes)[:] | known,)

        def loss(params: Any, aux: Any, batch: tuple[Any, ...], key: jax.Array, training: bool = True) -> Any:
            total, n = jnp.zeros(()), sum(len(part["group"]) for part in batch)
            for i, (part, own) in enumerate(zip(batch, source.slots if training else (slots,), strict=True)):
                value = loss_of(jax.random.fold_in(key, i), kind(network, params, own), part, processes)
                total += len(part["group"]) / n * value
            return total, (aux, {})

        params = learn_critic(
            run, name, loss, params, source, held, optimizer=self.discriminator_optimizer,
            steps=self.finetune or self.discriminator_steps, batch=size,
        )  # fmt: skip
        return kind(network, jax.device_get(params))

    def classes(self, data: Crystals) -> int:
        """See `WyckoffDiffusion.classes`."""
        return self.generator.classes(data)  # type: ignore[attr-defined]

    def plan(self) -> dict[str, str]:
        """Parameters of the denoiser."""
        return self.generator.plan()  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Steered(Corrected):
    """A diffusion model with a discriminator, and with what noisy crystals say of a property: its law, in bins."""

    fixed: ClassVar[tuple[str, ...]] = (*Corrected.fixed, "wanted", "bins")

    wanted: str | None = None
    """A column of numbers of the data, or electronegativity (its spread over the atoms), atoms (in the conventional
    cell), species (kinds of elements), energy (of formation in eV per atom); if none that of --data.property, else
    electronegativity. Crystals without a value are left out."""
    bins: int = 16
    """Parts of its range with equally many training crystals, whose probabilities are learned."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.bins < 2:
            raise UsageError(f"bins={self.bins}; expected at least 2")

    def knows(self, data: Crystals) -> str:
        """The name of the property."""
        return self.wanted or data.target or "electronegativity"

    def fit(self, run: Any, data: Crystals, start: CrystalModel | None = None) -> CrystalModel:
        """Train the denoiser, the discriminator, and the law of the property."""
        first = None if start is None else start.classifier
        name = self.knows(data) if first is None else first.name
        values = values_of(name, data)
        there = np.flatnonzero(np.isfinite(values))
        run.say(f"{name}: {len(there)} of {len(values)} training crystals have a value")
        values = values[there]
        edges = edges_of(values, self.bins) if first is None else np.asarray(first.edges)
        if len(values) < LEAST or not len(edges):
            raise UsageError(
                f"{name}: {len(values)} training crystals have a value, {len(np.unique(values))} different ones; "
                f"expected at least {LEAST} crystals and 2 values"
            )
        model = super().fit(run, data, start)
        order = np.random.default_rng(run.seed).permutation(len(values))
        held = max(2, len(values) // HELD)
        parts = [([data.crystals[there[i]] for i in part], {"bin": binned(values[part], edges)})
                 for part in (order[held:], order[:held][:TESTED])]  # fmt: skip
        answers = self._learned(
            run,
            "classifier",
            model,
            parts,
            len(edges) + 1,
            Answers,
            bins_loss,
            None if first is None else first.answers,
        )
        return replace(model, classifier=Known(name, answers, edges, np.sort(values)))
