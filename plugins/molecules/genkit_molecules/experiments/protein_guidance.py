"""Guidance of a model of protein sequences: to a property, and by a discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit.errors import UsageError
from genkit_molecules.experiments.protein_ardm import ProteinARDM
from genkit_molecules.experiments.steering import Steered


@dataclass(frozen=True)
class ProteinGuidance(Steered, ProteinARDM):
    """Steer a model of protein sequences to those whose property is above a threshold, and compare ways to do it.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden sequences as potential, p(yes | x_S)^strength. discriminator: the ratio of data and
    model as potential. both: their sum.
    """

    wanted: Literal["hydropathy", "charge", "weight", "aromatic"] = "hydropathy"
    """The property: mean hydropathy (GRAVY), net charge, weight in g/mol, share of aromatic residues."""
    steps: int = 1000
    """Training steps of the model."""
    samples: int = 300
    """Sequences to draw by each method."""
    particles: tuple[int, ...] = (10,)
    """Particles a sample."""
    generated: int = 2000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 500
    """Training steps of discriminator and classifier."""
    sizes: int = 1
    """Lengths that are sampled: the most frequent ones, each a program of its own."""
    look_ahead: bool = False
    """Weigh all letters of the next site (ARDG, FADG), 20 calls of the potential, or what was drawn (BSDG)."""

    def __post_init__(self) -> None:
        """Check the model."""
        super().__post_init__()
        if self.model != "ardm" or self.calls:
            raise UsageError(f"model={self.model}, calls={self.calls}; guided is ardm with one call a site, calls=0")

    def measure(self, texts: Sequence[str]) -> np.ndarray:
        """The property (M,) of sequences."""
        from genkit_molecules.sequence_scores import property_of

        return property_of(texts, self.wanted)
