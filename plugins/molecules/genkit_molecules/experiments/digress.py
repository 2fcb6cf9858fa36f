"""Discrete diffusion of molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.train import AdamW
from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.denoisers import GraphDenoiser, real_sites
from genkit_molecules.experiments.graph_model import GraphModel
from genkit_molecules.models import DISCRETE, Discrete, Space, cross_entropy
from genkit_molecules.networks.graph_transformer import GraphTransformer


@dataclass(frozen=True)
class DiGress(GraphModel):
    """Learn molecules by discrete diffusion of atoms and bonds, sample them, and score the samples.

    With marginal noise DiGress (Vignac et al. 2023, arXiv 2209.14734): cross-entropy of atoms plus 5 times that of
    bonds, features of cycles, spectrum and valence. The samples are written as samples_<noise>.smi and .sdf.
    """

    noise: Literal["marginal", "uniform", "absorbing", "masked", "euler", "flow"] = "marginal"
    """D3PM with this noise (absorbing: no bond, the first element), or masks sampled by posterior, rates or flow."""
    objective: Literal["cross_entropy", "bound"] = "cross_entropy"
    """What is minimised with D3PM; masks have the bound, a weighted cross-entropy."""
    bond_weight: float = 5.0
    """Weight of the cross-entropy of bonds."""
    diffusion_steps: int = 100
    """Steps of diffusion."""
    eta: float = 0.0
    """Rate at which flow hides sites again."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny, default, and paper (QM9 without hydrogen: 9 layers, 500 steps)."""
        rule = AdamW(lr=1e-3)
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, dy=8, heads=2, hidden_x=16, hidden_e=8, hidden_y=8, dropout=0.0,
                                     time=True, features=True)  # fmt: skip
            return cls(data=Lattice(n=3), steps=20, batch=16, samples=40, network=small, diffusion_steps=10)
        if name == "paper":
            network = GraphTransformer(9, dy=64, hidden_y=128, time=True, features=True)
            rule = AdamW(lr=2e-4, warmup=0, schedule="constant", weight_decay=1e-12)
            return cls(steps=100_000, batch=1024, samples=10_000, sizes=9, network=network, optimizer=rule,
                       diffusion_steps=500)  # fmt: skip
        if name != "default":
            raise UsageError(f"no preset {name!r}; there are tiny, default and paper")
        small = GraphTransformer(2, dx=64, de=32, dy=32, heads=4, hidden_x=64, hidden_e=32, hidden_y=32, dropout=0.0,
                                 time=True, features=True)  # fmt: skip
        return cls(network=small, optimizer=rule)

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.diffusion_steps < 1 or self.bond_weight < 0:
            raise UsageError(
                f"diffusion_steps={self.diffusion_steps}, bond_weight={self.bond_weight}; expected at least 1 and 0"
            )

    def discrete(self) -> Discrete:
        """D3PM or masks."""
        return Discrete(self.noise, steps=self.diffusion_steps, eta=self.eta, likelihood=False)

    def loss(self, key: Any, model: GraphDenoiser, x: Any, cond: Any, space: Space) -> Any:
        """The cross-entropy of DiGress, or the bound."""
        if self.noise not in DISCRETE or self.objective == "bound":
            return self.bound(key, model, x, cond, space)
        n, real = cond["mask"].shape[1], real_sites(cond["mask"])
        parts = ((real.at[:, n:].set(False), 1.0), (real.at[:, :n].set(False), self.bond_weight))
        process = self.discrete().process(space)
        return cross_entropy(key, model, x, cond, process, self.diffusion_steps, parts)

    def test_loss(self, run: Run) -> Any:
        """The same on test molecules."""
        return self.on_tests(run, self.loss)
