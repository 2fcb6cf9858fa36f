"""Guidance of a model of molecules to a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genkit_molecules.experiments.ardm import ARDM
from genkit_molecules.experiments.steering import Steered


@dataclass(frozen=True)
class PropertyGuidance(Steered, ARDM):
    """Steer a model of molecules to those whose property is above a threshold, and compare ways to do it.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden molecules as potential, p(yes | x_S)^strength, of one particle, which for other
    strengths than 1 has a law of its own, or of many, which corrects that. discriminator: the ratio of data and model
    as potential. both: their sum.
    """

    wanted: Literal["logP", "QED", "TPSA", "weight", "rings"] = "logP"
    """The property, by RDKit."""

    def measure(self, texts: Sequence[str]) -> np.ndarray:
        """The property (M,) of molecules."""
        from genkit_molecules.evaluation import property_of

        return property_of(texts, self.wanted)

    def whole(self, texts: Sequence[str | None]) -> list[str]:
        """Valid ones in one piece."""
        return [s for s in texts if s and "." not in s]
