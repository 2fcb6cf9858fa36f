"""Discrete diffusion of molecules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.kinds import Dataset, Model
from genkit_molecules.datasets import QM9, Lattice
from genkit_molecules.experiments import molecules
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Molecules
from genkit_molecules.models import DiGress as Recipe
from genkit_molecules.models import Generator


@dataclass(frozen=True)
class DiGress(Study):
    """Learn molecules by discrete diffusion of atoms and bonds, sample them, and score the samples.

    With marginal noise DiGress (Vignac et al. 2023, arXiv 2209.14734): cross-entropy of atoms plus 5 times that of
    bonds, features of cycles, spectrum and valence. The samples are written as samples_<noise>.smi and .sdf.
    """

    kind: ClassVar[Any] = molecules

    data: Dataset[Molecules] = field(default_factory=lambda: Lattice(n=5))
    """The molecules."""
    model: Model[Molecules, Generator] = field(default_factory=Recipe)
    """What is trained."""
    samples: int = 1000
    """Molecules to draw."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (QM9 without hydrogen: 9 layers, 500 steps)."""
        return cls(**sized(name, molecules.TINY, QM9(test=0.25)), model=Recipe.preset(name))
