"""Generation of crystals by symmetry: training, sampling, evaluation, structure files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from genkit_crystals.experiments.base import CrystalStudy, sizes
from genkit_crystals.models import WyckoffDiffusion


@dataclass(frozen=True)
class WyckoffDiff(CrystalStudy):
    """Generate crystals by symmetry with WyckoffDiff and score them beside four yardsticks.

    Discrete diffusion over what sits on the Wyckoff positions of a space group (arXiv 2502.06485). The samples are
    compared with training crystals by the Frechet distance of embeddings (fwd) and of plain descriptors (fd), by
    novelty, uniqueness, charge neutrality; some become structures in CIF files. Beside them stand crystals drawn
    from independent tables, training crystals with other elements, and real crystals that were held out (the floor).
    """

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published sizes, WBM)."""
        return cls(model=WyckoffDiffusion.preset(name), **sizes(name))
