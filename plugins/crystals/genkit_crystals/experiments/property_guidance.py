"""Crystals of a diffusion model, steered to a property by a classifier of noisy crystals."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import SIGNED, Model
from genkit_crystals.chains import Property, computed, values_of
from genkit_crystals.data import ENERGY, Crystals
from genkit_crystals.evaluation import PROPERTIES
from genkit_crystals.experiments.base import CrystalStudy, guided_sizes
from genkit_crystals.models import CrystalModel, Draw, Steered
from genkit_crystals.protostructures import Protostructure


@dataclass(frozen=True)
class PropertyGuidance(CrystalStudy):
    """Steer WyckoffDiff to crystals with a property: by a classifier, a discriminator, and by both.

    What a network says of noisy crystals, log p(wanted | x_t), times `strength`, is the potential of particles that
    compete (twisted SMC, Wu et al. 2023, arXiv 2306.17775): of very many, the result is the model's law given what is
    wanted, up to the network's error on data; a few come part of the way, further with a larger strength. Any values of
    the property may be wanted of one model. The discriminator corrects
    the model meanwhile. Label files and structures are of both.
    """

    headline = "yes/*"

    model: Model[Crystals, CrystalModel] = field(default_factory=lambda: Steered.preset("default"))
    """The diffusion model with discriminator and classifier: trained here, or the folder of what was trained."""
    samples: int = 500
    """Crystals to draw."""
    particles: int = 8
    """Particles for each guided sample."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""
    property: str | None = None
    """The values that are wanted, NAME=LOW..HIGH; if none those beyond the quantile."""
    quantile: float = 0.75
    """Quantile of the training crystals above which values are wanted."""
    below: bool = False
    """Values below it are wanted."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of crystals.discriminator_guidance."""
        return cls(model=Steered.preset(name), **guided_sizes(name))

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.strength <= 0:
            raise UsageError(f"strength={self.strength}; expected above 0")
        if not 0 < self.quantile < 1:
            raise UsageError(f"quantile={self.quantile}; expected a fraction")
        if self.property is not None:
            Property.of(self.property)

    def prepare(self, run: Run) -> None:
        """Load the data; what the model will not know, and values of no crystal, are refused before any training."""
        super().prepare(run)
        recipe: Any = self.model
        if not hasattr(recipe, "knows"):
            return
        known = recipe.knows(train := self.crystals(run)[0])
        values = values_of(known, train)
        if self.property is not None and (name := Property.of(self.property).name) != known:
            raise UsageError(f"property={self.property}: the model will know {known}; train it with --wanted {name}")
        values = values[np.isfinite(values)]
        self._wanted(known, values).among(values)

    @builtins.property
    def methods(self) -> dict[str, str]:
        """The model alone, and by three potentials."""
        return super().methods | {
            "discriminator": "under a discriminator",
            "classifier": "under a classifier",
            "both": "under both",
        }

    def wanted(self, model: CrystalModel) -> Property:
        """What is wanted."""
        known: Any = model.classifier
        return self._wanted(known.name, np.asarray(known.values))

    def _wanted(self, name: str, values: np.ndarray) -> Property:
        """The same, given the name and the training values of what the model knows."""
        if self.property is not None:
            return Property.of(self.property)
        return Property.beyond(name, values, self.quantile, self.below)

    def request(self, run: Run, name: str) -> Draw:
        """With the strength and the values."""
        made = replace(super().request(run, name), strength=self.strength)
        return replace(made, property=self.wanted(run.model).text) if name in ("classifier", "both") else made

    def measure(self, run: Run, crystals: Sequence[Protostructure]) -> np.ndarray | None:
        """The property of any crystals, the energy as the encoder says; None where nothing tells it."""
        name = run.model.classifier.name
        if name in PROPERTIES:
            return computed(name, crystals)
        encoder = None if self.encoder is None else run.trained("encoder")
        return encoder.energies(crystals) if name == ENERGY and encoder is not None and encoder.knows_energies else None

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the samples, and of all sets yes/<set>, share with the property, and mean/<set>, its mean.

        Both are None for a number of the data that cannot be computed of new crystals. said/<set>: mean over the
        crystals of the probability by which the model itself says that they have the property. threshold: the lower end
        of the values that are wanted, or the upper one where there is no lower one.
        """
        results, wanted = super().evaluate(run), self.wanted(run.model)
        for name, found in self.drawn(run).items():
            full = [c for c in found if c is not None]
            values = self.measure(run, full) if full else None
            results |= {f"yes/{name}": None if values is None else float(wanted.yes(values).mean())}
            results |= {f"mean/{name}": None if values is None else float(values.mean())}
            results |= {f"said/{name}": run.model.said(full, wanted)}
        return results | {"threshold": wanted.ends[0]}

    def report(self, run: Run) -> None:
        """The share of crystals as wanted; its distribution; all else of crystals.wyckoffdiff."""
        from genkit_crystals.figures import spread

        wanted = self.wanted(run.model)
        shown = {"as wanted": "yes", f"mean {wanted.name}": "mean", "as wanted, says the model": "said"}
        rows = [[text, *(run.results.get(f"{key}/{k}") for key in shown.values())] for k, text in self.sets.items()]
        run.table("wanted", ["crystals", *shown], rows, f"Share of crystals with {wanted}")
        drawn = {name: [c for c in found if c is not None] for name, found in self.drawn(run).items()}
        measured = {name: self.measure(run, some) for name, some in drawn.items() if some}
        found = {name: values for name, values in measured.items() if values is not None}
        if found:
            caption = f"{wanted.name}: quartiles, median, 5 and 95 %; lines bound the values that are wanted, {wanted}."
            run.figure("wanted", spread(found, wanted.ends, wanted.name, self.sets), caption)
        super().report(run)
