"""Crystals of a diffusion model, steered to a property by a classifier of noisy crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import SIGNED, Model
from genkit_crystals.chains import ENERGY
from genkit_crystals.data import Crystals
from genkit_crystals.experiments.base import CrystalStudy, guided_sizes
from genkit_crystals.models import CrystalModel, Draw, Steered
from genkit_crystals.protostructures import Protostructure


@dataclass(frozen=True)
class PropertyGuidance(CrystalStudy):
    """Steer WyckoffDiff to crystals with a property: by a classifier, a discriminator, and by both.

    The classifier's log p(yes | x_t) of noisy crystals, times `strength`, is the potential of particles that compete
    (twisted SMC, Wu et al. 2023, arXiv 2306.17775): of very many, the result is the model's law given yes, up to the
    classifier's error on data; a few come part of the way, further with a larger strength. The discriminator corrects
    the model meanwhile. Label files and structures are of both.
    """

    headline = "yes/*"

    model: Model[Crystals, CrystalModel] = field(default_factory=lambda: Steered.preset("default"))
    """The diffusion model with discriminator and classifier: trained here, or the folder of what was trained."""
    samples: int = 500
    """Crystals to draw; as many real ones are held out."""
    particles: int = 8
    """Particles for each guided sample."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of crystals.discriminator_guidance."""
        return cls(model=Steered.preset(name), **guided_sizes(name))

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.encoder is None and str(getattr(self.model, "wanted", "")).startswith(ENERGY):
            raise UsageError("energies of samples are what the encoder predicts; leave --encoder none out")
        if self.strength <= 0:
            raise UsageError(f"strength={self.strength}; expected above 0")

    @property
    def methods(self) -> dict[str, str]:
        """The model alone, and by three potentials."""
        return super().methods | {
            "discriminator": "under a discriminator",
            "classifier": "under a classifier",
            "both": "under both",
        }

    def request(self, name: str) -> Draw:
        """With the strength."""
        return replace(super().request(name), strength=self.strength)

    def measure(self, run: Run, crystals: Sequence[Protostructure]) -> np.ndarray:
        """The property of any crystals; the energy as the encoder says."""
        return run.model.wanted.measure(crystals, None if self.encoder is None else run.trained("encoder").energies)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of the samples, and of all sets yes/<set>, share with the property, and mean/<set>, its mean.

        threshold: the lower end of the values that are yes, or the upper one where there is no lower one.
        """
        results, wanted = super().evaluate(run), run.model.wanted
        for name, found in self.drawn(run).items():
            values = self.measure(run, [c for c in found if c is not None])
            results |= {f"yes/{name}": float(wanted.yes(values).mean()) if len(values) else None}
            results |= {f"mean/{name}": float(values.mean()) if len(values) else None}
        return results | {"threshold": wanted.ends[0]}

    def report(self, run: Run) -> None:
        """The share of crystals as wanted; its distribution; all else of crystals.wyckoffdiff."""
        from genkit_crystals.figures import spread

        wanted = run.model.wanted
        rows = [[text, run.results.get(f"yes/{k}"), run.results.get(f"mean/{k}")] for k, text in self.sets.items()]
        run.table("wanted", ["crystals", "as wanted", f"mean {wanted.name}"], rows, f"Share of crystals with {wanted}")
        drawn = {name: [c for c in found if c is not None] for name, found in self.drawn(run).items()}
        found = {name: self.measure(run, some) for name, some in drawn.items() if some}
        caption = f"{wanted.name}: quartiles, median, 5 and 95 %; lines bound the values that are wanted, {wanted}."
        run.figure("wanted", spread(found, wanted.ends, wanted.name, self.sets), caption)
        super().report(run)
