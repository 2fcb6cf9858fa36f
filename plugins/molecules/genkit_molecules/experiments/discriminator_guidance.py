"""A model of molecules corrected by a discriminator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.experiment import Run
from genkit.kinds import Dataset, Model
from genkit_molecules.datasets import Lattice
from genkit_molecules.experiments import molecules
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Molecules
from genkit_molecules.models import Corrected, Guided


@dataclass(frozen=True)
class DiscriminatorGuidance(Study):
    """Train a generator of molecules and a discriminator of its samples; compare the model with guided samplers.

    ARDM, ARDG, BSDG and FADG of Kelvinius and Lindsten 2024 (arXiv 2310.15817). The discriminator starts as the
    generator, sees partly hidden molecules, and is kept where its validation loss is least. ARDG alone can be worse
    than the model. Of diffusion (`--generator digress`) it sees noisy molecules, and particles are weighed after the
    draw (BSDG).
    """

    kind: ClassVar[Any] = molecules

    data: Dataset[Molecules] = field(default_factory=lambda: Lattice(n=5))
    """The molecules."""
    model: Model[Molecules, Guided] = field(default_factory=Corrected)
    """The generator and its discriminator."""
    samples: int = 1000
    """Molecules to draw."""
    particles: tuple[int, ...] = (5, 10)
    """Particles a sample."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Those of `molecules.ardm`, the paper's with up to 50 particles."""
        known = {"tiny": (2,), "paper": (1, 5, 10, 50)}
        few: dict[str, Any] = {"particles": known[name]} if name in known else {}
        return cls(**sized(name, molecules.TINY, molecules.WITH_HYDROGEN), **few, model=Corrected.preset(name))

    def methods(self, run: Run) -> list[str]:
        """The model alone, and guided."""
        discrete = run.model.generator.discrete
        one, kinds = (["ardg/1"], ("bsdg", "fadg")) if discrete.ordered else ([], ("bsdg",))
        return [f"{discrete.name}/1", *one, *(f"{kind}/{n}" for n in self.particles for kind in kinds)]
