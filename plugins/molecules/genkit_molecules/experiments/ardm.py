"""An order-agnostic autoregressive model of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.train import AdamW
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.experiments.graph_model import GraphModel
from genkit_molecules.models import Discrete, in_parallel, site_costs
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
    calls: int = 0
    """Network calls of a sample, several sites being revealed at once; 0 is one call a site, which alone is exact."""

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

    def sampler(self, run: Run, n: int) -> Any:
        """One site a step, or the budget of fewer calls with the least loss on training molecules."""
        space, budget = self.space(run, n), None
        if self.calls:
            x = next(g.x for g in self.molecules(run).train if g.n == n)[: 4 * self.batch]
            cost = site_costs(
                jax.random.key(0), run.denoiser, jnp.asarray(x, jnp.int32), None, space, self.discrete().orders
            )
            budget = in_parallel(cost, min(self.calls, len(cost)))
        return self.discrete().sampler(space, budget)
