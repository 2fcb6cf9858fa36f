"""A discrete model of protein sequences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.kinds import Dataset, Model
from genkit_molecules.datasets import HiddenMarkov
from genkit_molecules.experiments import sequences
from genkit_molecules.experiments.study import Study, sized
from genkit_molecules.items import Sequences
from genkit_molecules.models import Generator, SequenceARDM


@dataclass(frozen=True)
class ProteinARDM(Study):
    """Learn protein sequences by an order-agnostic model or by discrete diffusion, sample them, score the samples.

    Order-agnostic autoregression and the network are those of EvoDiff-Seq (arXiv 2309.04175). The samples are
    in samples_<model>.fasta. Of laws that are known the exact likelihood of data and samples is told too.
    """

    kind: ClassVar[Any] = sequences

    data: Dataset[Sequences] = field(default_factory=HiddenMarkov)
    """The sequences."""
    model: Model[Sequences, Generator] = field(default_factory=SequenceARDM)
    """Order-agnostic (ardm), masked diffusion (masked, euler, flow, remasked), or D3PM (uniform, marginal,
    absorbing, blosum)."""
    samples: int = 1000
    """Sequences to draw."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (the network and learning rate of EvoDiff-Seq, 38 M parameters)."""
        return cls(**sized(name, sequences.TINY), model=SequenceARDM.preset(name))
