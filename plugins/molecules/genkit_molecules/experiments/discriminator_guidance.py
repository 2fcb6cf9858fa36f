"""A model of molecules corrected by a discriminator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from genkit.train import AdamW
from genkit_molecules.experiments.ardm import ARDM
from genkit_molecules.experiments.steering import Corrected


@dataclass(frozen=True)
class DiscriminatorGuidance(Corrected, ARDM):
    """Train a generator of molecules and a discriminator of its samples; compare the model with guided samplers.

    ARDM, ARDG, BSDG and FADG of Kelvinius and Lindsten 2024 (arXiv 2310.15817). The discriminator starts as the
    generator, sees partly hidden molecules, and is kept where its validation loss is least. ARDG alone can be worse
    than the model.
    """

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.ardm`; the paper's with 130 831 generated molecules and lr 5e-5."""
        base = super().preset(name)
        if name != "paper":
            return base
        optimizer = AdamW(lr=5e-5, warmup=0, schedule="constant")
        return replace(base, particles=(1, 5, 10, 50), generated=130_831, discriminator_steps=400_000,
                        discriminator_optimizer=optimizer)  # fmt: skip
