"""Guidance of a model of protein sequences: to a property, and by a discriminator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

from genkit.experiment import Run
from genkit.kinds import SIGNED, Dataset, Model
from genkit_molecules.datasets import HiddenMarkov
from genkit_molecules.experiments import sequences, steering
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Sequences
from genkit_molecules.models import Guided, SteeredSequences


@dataclass(frozen=True)
class ProteinGuidance(Study):
    """Steer a model of protein sequences to those whose property is above a threshold, and compare ways to do it.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden sequences as potential, p(yes | x_S)^strength. discriminator: the ratio of data and
    model as potential. both: their sum.
    """

    kind: ClassVar[Any] = sequences

    data: Dataset[Sequences] = field(default_factory=HiddenMarkov)
    """The sequences."""
    model: Model[Sequences, Guided] = field(default_factory=SteeredSequences)
    """The generator and its critics."""
    samples: int = 300
    """Sequences to draw by each method."""
    particles: tuple[int, ...] = (10,)
    """Particles a sample."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""
    look_ahead: bool = False
    """Weigh all letters of the next site (ARDG, FADG), 20 calls of the potential, or what was drawn (BSDG)."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.protein_ardm`."""
        few: dict[str, Any] = {"particles": (2,)} if name == "tiny" else {}
        return cls(**sized(name, sequences.TINY), **few, model=SteeredSequences.preset(name))

    def methods(self, run: Run) -> list[str]:
        """The model alone, and steered."""
        return steering.methods(run.model, self.particles, self.look_ahead)
