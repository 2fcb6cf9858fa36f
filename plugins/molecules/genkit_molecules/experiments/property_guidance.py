"""Guidance of a model of molecules to a property."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

from genkit.experiment import Run
from genkit.kinds import SIGNED, Dataset, Model
from genkit_molecules.datasets import Lattice
from genkit_molecules.experiments import molecules, steering
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Molecules
from genkit_molecules.models import Guided, SteeredMolecules


@dataclass(frozen=True)
class PropertyGuidance(Study):
    """Steer a model of molecules to those whose property is above a threshold, and compare ways to do it.

    cfg: classifier-free guidance, p(x_i | yes)^strength p(x_i)^(1 - strength) (arXiv 2412.10193). classifier: a
    classifier of partly hidden molecules as potential, p(yes | x_S)^strength, of one particle (ARDG), which for other
    strengths than 1 has a law of its own, or of many, which corrects that. discriminator: the ratio of data and model
    as potential. both: their sum.
    """

    headline = "yes/*"

    kind: ClassVar[Any] = molecules

    data: Dataset[Molecules] = field(default_factory=lambda: Lattice(n=5))
    """The molecules."""
    model: Model[Molecules, Guided] = field(default_factory=SteeredMolecules)
    """The generator and its critics."""
    samples: int = 1000
    """Molecules to draw."""
    particles: tuple[int, ...] = (5, 10)
    """Particles a sample."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""
    look_ahead: bool | None = None
    """Weigh all values of the next site (ARDG, FADG), one call of the potential for each, or what was drawn (BSDG); if
    none, where sites are revealed in an order."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.ardm`."""
        few: dict[str, Any] = {"particles": (2,)} if name == "tiny" else {}
        return cls(**sized(name, molecules.TINY, molecules.WITH_HYDROGEN), **few, model=SteeredMolecules.preset(name))

    def methods(self, run: Run) -> list[str]:
        """The model alone, and steered."""
        return steering.methods(run.model, self.particles, self.look_ahead)
