"""Crystals of a diffusion model whose errors a discriminator corrects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from genkit.kinds import Model
from genkit_crystals.data import Crystals
from genkit_crystals.experiments.base import CrystalStudy, guided_sizes
from genkit_crystals.models import Corrected, CrystalModel


@dataclass(frozen=True)
class DiscriminatorGuidance(CrystalStudy):
    """Correct crystals of WyckoffDiff by a discriminator: particles that look unlike data give way on the way.

    A discriminator of data and of the model's own samples, both noisy, is at its best the log of the ratio of their
    laws; under it as potential the particles' law is that of the data (Ekstrom Kelvinius and Lindsten 2024, arXiv
    2310.15817; Kim et al. 2023, arXiv 2211.17091). It begins as the denoiser. The same scores as crystals.wyckoffdiff,
    for the model alone and guided; label files and structures are of the guided crystals.
    """

    model: Model[Crystals, CrystalModel] = field(default_factory=lambda: Corrected.preset("default"))
    """The diffusion model with its discriminator: trained here, or the folder of what was trained."""
    samples: int = 500
    """Crystals to draw."""
    particles: int = 8
    """Particles for each guided sample."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of crystals.wyckoffdiff, with fewer steps of the sampler; tiny trains the discriminator little."""
        return cls(model=Corrected.preset(name), **guided_sizes(name))

    @property
    def methods(self) -> dict[str, str]:
        """The model alone and corrected."""
        return super().methods | {"discriminator": "under a discriminator"}
