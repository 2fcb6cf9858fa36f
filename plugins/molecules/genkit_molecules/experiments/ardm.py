"""An order-agnostic autoregressive model of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from genkit.errors import UsageError
from genkit.train import AdamW
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.experiments.graph_model import GraphModel
from genkit_molecules.models import Discrete
from genkit_molecules.networks.graph_transformer import GraphTransformer
from genkit_molecules.orders import Order, order_named


@dataclass(frozen=True)
class ARDM(GraphModel):
    """Learn molecules by revealing atoms and bonds in a random order, sample them, and score the samples.

    ARDM (arXiv 2110.02037) on graphs, as in Kelvinius and Lindsten 2024 (arXiv 2310.15817). The samples are written as
    samples_<method>.smi, with an empty line for an invalid one, and .sdf.
    """

    order: Order = "uniform"
    """In which order sites are revealed."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (the network and the training of QM9 with hydrogen, uniform order)."""
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, heads=2, hidden_x=16, hidden_e=8, dropout=0.0)
            return cls(data=Lattice(n=3), steps=20, batch=16, samples=40, network=small)
        if name == "paper":
            constant = AdamW(lr=1e-3, warmup=0, schedule="constant")
            return cls(
                steps=400_000, batch=512, samples=10_000, sizes=29, network=GraphTransformer(), optimizer=constant
            )
        if name != "default":
            raise UsageError(f"no preset {name!r}; there are tiny, default and paper")
        return cls()

    def discrete(self) -> Discrete:
        """Order-agnostic autoregression."""
        return Discrete("ardm", order_named(self.order))
