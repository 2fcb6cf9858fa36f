"""An order-agnostic autoregressive model of molecules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.kinds import Dataset, Model
from genkit_molecules.datasets import Lattice
from genkit_molecules.experiments import molecules
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Molecules
from genkit_molecules.models import Generator, GraphARDM


@dataclass(frozen=True)
class ARDM(Study):
    """Learn molecules by revealing atoms and bonds in a random order, sample them, and score the samples.

    ARDM (arXiv 2110.02037) on graphs, as in Kelvinius and Lindsten 2024 (arXiv 2310.15817). The samples are written as
    samples_<method>.smi, with an empty line for an invalid one, and .sdf.
    """

    kind: ClassVar[Any] = molecules

    data: Dataset[Molecules] = field(default_factory=lambda: Lattice(n=5))
    """The molecules."""
    model: Model[Molecules, Generator] = field(default_factory=GraphARDM)
    """What is trained."""
    samples: int = 1000
    """Molecules to draw."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (the network and the training of QM9 with hydrogen, uniform order)."""
        return cls(**sized(name, molecules.TINY, molecules.WITH_HYDROGEN), model=GraphARDM.preset(name))
