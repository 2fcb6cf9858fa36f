"""Recipes of models with critics: a discriminator that corrects them, a classifier that steers them to a property."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.files import write_json
from genkit.kinds import SIGNED, Model, Optimizer
from genkit.model import Critic, CriticRecipe, divided, learn_critic, log_odds
from genkit.nn import Net, transfer
from genkit.train import AdamW
from genkit_crystals.chains import ENERGY, Bucketed, LogOdds, Property, critic_loss, encode, layout
from genkit_crystals.data import Crystals
from genkit_crystals.models.generator import WyckoffDiffusion
from genkit_crystals.models.request import Draw
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.networks import Sizes
from genkit_crystals.protostructures import Protostructure


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
        own: dict[str, Any] = {"tiny": {"generated": 40, "discriminator_steps": 10}, "paper": {"generated": 100_000}}
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
        network = Net(model.network.component, (Sizes(model.length + 1, model.classes, 1),))
        params = transfer(model.params, network.init(run.key(name))) if first is None else first.network.params
        size, processes = 2 * getattr(self.generator, "batch", 64), model.processes(model.final)
        train, held = divided(yes, run.seed, f"crystals of the {name}")
        source, seen = ([crystals[i] for i in part.places] for part in (train, held.some))
        source = Bucketed.of(source, model.widths, size, model.classes, yes=train.yes)
        slots = layout(c.group for c in seen)
        known = (encode(seen, slots, model.classes)[:] | {"yes": held.some.yes},)

        def loss(params: Any, aux: Any, batch: tuple[Any, ...], key: jax.Array, training: bool = True) -> Any:
            total, n = jnp.zeros(()), sum(len(part["group"]) for part in batch)
            for i, (part, own) in enumerate(zip(batch, source.slots if training else (slots,), strict=True)):
                value = critic_loss(jax.random.fold_in(key, i), LogOdds(network, params, own), part, processes)
                total += len(part["group"]) / n * value
            return total, (aux, {})

        params = learn_critic(
            run, name, loss, params, source, known, optimizer=self.discriminator_optimizer,
            steps=self.finetune or self.discriminator_steps, batch=size,
        )  # fmt: skip
        return LogOdds(network, jax.device_get(params))

    def classes(self, data: Crystals) -> int:
        """See `WyckoffDiffusion.classes`."""
        return self.generator.classes(data)  # type: ignore[attr-defined]

    def plan(self) -> dict[str, str]:
        """Parameters of the denoiser."""
        return self.generator.plan()  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Steered(Corrected):
    """A diffusion model with a discriminator, and with a classifier of noisy crystals with a property."""

    fixed: ClassVar[tuple[str, ...]] = (*Corrected.fixed, "wanted", "threshold", "quantile", "below")

    wanted: str = "electronegativity"
    """electronegativity (its spread over the atoms), atoms (in the conventional cell), species (kinds of elements),
    or energy of formation in eV per atom, where the data have it; or with the values that are yes, NAME=LOW..HIGH."""
    threshold: Annotated[float | None, SIGNED] = None
    """Yes is above this; if none the quantile below."""
    quantile: float = 0.75
    """Quantile of the training crystals that is the threshold."""
    below: bool = False
    """Yes is below the threshold."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if not 0 < self.quantile < 1:
            raise UsageError(f"quantile={self.quantile}; expected a fraction")
        if "=" in self.wanted and (self.below or self.threshold is not None):
            raise UsageError(f"wanted={self.wanted} has the values that are yes; leave threshold and below out")
        Property.of(self.wanted) if "=" in self.wanted else Property(self.wanted)

    def asked(self, data: Crystals) -> Property:
        """The property with the values that are yes."""
        if "=" in self.wanted:
            return Property.of(self.wanted)
        values = _values(Property(self.wanted), data)
        edge = float(np.quantile(values, self.quantile)) if self.threshold is None else self.threshold
        return Property(self.wanted, high=edge) if self.below else Property(self.wanted, low=edge)

    def fit(self, run: Any, data: Crystals, start: CrystalModel | None = None) -> CrystalModel:
        """Train the denoiser, the discriminator and the classifier."""
        wanted = self.asked(data) if start is None or start.wanted is None else start.wanted
        yes = wanted.yes(_values(wanted, data))
        said = f"{yes.mean():.1%} of the training crystals have {wanted}"
        run.say(said)
        if not 0 < yes.mean() < 1:
            raise UsageError(f"{said}; take another threshold or quantile")
        model = super().fit(run, data, start)
        first = None if start is None else start.classifier
        found = self.learned(run, "classifier", model, list(data.crystals), yes, first)
        return replace(model, classifier=Critic(found, log_odds(yes)), wanted=wanted)


def _values(wanted: Property, data: Crystals) -> np.ndarray:
    """(n,) of training crystals."""
    if wanted.name == ENERGY and not np.isfinite(data.energies).all():
        raise UsageError("wanted='energy': not all of the data have energies; try --data mp20, or another property")
    return wanted.measure(data.crystals, lambda _: data.energies)
