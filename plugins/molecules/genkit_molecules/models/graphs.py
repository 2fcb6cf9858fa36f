"""Recipes of generators of molecules: order-agnostic autoregression, and the diffusion of DiGress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.train import AdamW
from genkit_molecules.chemistry import atoms
from genkit_molecules.items import GraphOrder, Kind, Molecules, order_named, real_sites
from genkit_molecules.models.discrete import DISCRETE, Discrete, cross_entropy
from genkit_molecules.models.recipe import GeneratorRecipe
from genkit_molecules.models.trained import Generator
from genkit_molecules.networks import GraphTransformer


@dataclass(frozen=True, kw_only=True)
class GraphARDM(GeneratorRecipe):
    """ARDM (arXiv 2110.02037) on graphs: reveals atoms and bonds in a random order (arXiv 2310.15817).

    Or in one that it learns: LO-ARM (arXiv 2503.05979).
    """

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps", "epochs", "order")
    used: ClassVar[tuple[str, ...]] = ("sizes",)

    network: Network[tuple[str, ...], Kind, int, int] = field(
        default_factory=lambda: GraphTransformer.preset("default")
    )
    """The network."""
    sizes: int | None = None
    """Numbers of atoms that are sampled: the most frequent ones; all if not given."""
    order: GraphOrder = "uniform"
    """In which order sites are revealed; learned costs three network calls an item in training."""
    calls: int = 0
    """Network calls of a sample, several sites being revealed at once; 0 is one call a site, which alone is exact."""

    @classmethod
    def preset(cls, name: str) -> GraphARDM:
        """Presets tiny, default, and paper (the network and the training of QM9 with hydrogen, uniform order)."""
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, dy=8, heads=2, hidden_x=16, hidden_e=8, hidden_y=8, dropout=0.0)
            return cls(steps=20, batch=16, network=small)
        if name == "paper":
            constant = AdamW(lr=1e-3, warmup=0, schedule="constant")
            return cls(epochs=2000, batch=512, network=GraphTransformer(), optimizer=constant)
        return cls()

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.order == "learned" and self.calls:
            raise UsageError(f"calls={self.calls} is for orders that are given; a learned one takes a call a site")

    def fit(self, run: Any, data: Molecules, start: Generator | None = None) -> Generator:
        """Train the network."""
        return self.learned(run, data, start)

    def discrete(self) -> Discrete:
        """Autoregression."""
        return Discrete("ardm", order_named(self.order))


@dataclass(frozen=True, kw_only=True)
class DiGress(GeneratorRecipe):
    """Discrete diffusion of atoms and bonds; with marginal noise DiGress (Vignac et al. 2023, arXiv 2209.14734).

    Its loss is the cross-entropy of atoms plus 5 times that of bonds; features are of cycles, spectrum and valence.
    """

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps", "epochs", "noise", "objective", "diffusion_steps", "eta")
    used: ClassVar[tuple[str, ...]] = ("sizes",)

    network: Network[tuple[str, ...], Kind, int, int] = field(
        default_factory=lambda: GraphTransformer.preset("default")
    )
    """The network."""
    sizes: int | None = None
    """Numbers of atoms that are sampled: the most frequent ones; all if not given."""
    noise: Literal["marginal", "uniform", "absorbing", "masked", "euler", "flow", "remasked"] = "marginal"
    """D3PM with this noise (absorbing: no bond, the first element), or masks sampled by posterior, rates or flow, or
    remasked: by a posterior that hides sites again."""
    objective: Literal["cross_entropy", "bound"] = "cross_entropy"
    """What is minimised with D3PM; masks have the bound, a weighted cross-entropy."""
    bond_weight: float = 5.0
    """Weight of the cross-entropy of bonds."""
    diffusion_steps: int = 100
    """Steps of diffusion."""
    eta: float | None = None
    """Rate at which flow hides sites again, 0 if none; of remasked the largest probability in a step, 0.02 if none."""

    @classmethod
    def preset(cls, name: str) -> DiGress:
        """Presets tiny, default, and paper (QM9 without hydrogen: 9 layers, 500 steps)."""
        if name == "tiny":
            small = GraphTransformer(1, dx=16, de=8, dy=8, heads=2, hidden_x=16, hidden_e=8, hidden_y=8, dropout=0.0,
                                     time=True, features=True)  # fmt: skip
            return cls(steps=20, batch=16, network=small, diffusion_steps=10)
        if name == "paper":
            network = GraphTransformer(9, dy=64, hidden_y=128, time=True, features=True)
            rule = AdamW(lr=2e-4, warmup=0, schedule="constant", weight_decay=1e-12)
            return cls(epochs=1000, batch=1024, network=network, optimizer=rule, diffusion_steps=500)
        return cls()

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.diffusion_steps < 1 or self.bond_weight < 0:
            raise UsageError(
                f"diffusion_steps={self.diffusion_steps}, bond_weight={self.bond_weight}; expected at least 1 and 0"
            )
        self.discrete()

    def fit(self, run: Any, data: Molecules, start: Generator | None = None) -> Generator:
        """Train the network."""
        return self.learned(run, data, start)

    def discrete(self) -> Discrete:
        """D3PM or masks."""
        eta = {"remasked": 0.02}.get(self.noise, 0.0) if self.eta is None else self.eta
        return Discrete(self.noise, steps=self.diffusion_steps, eta=eta, likelihood=False)

    def loss(self, key: Any, model: Generator, x: Any, cond: Any) -> Any:
        """The cross-entropy of DiGress, or the bound."""
        if self.noise not in DISCRETE or self.objective == "bound":
            return model.bound(key, x, cond)
        n, real, layout = atoms(x.shape[1]), real_sites(cond["mask"]), model.layout
        size = layout.sizes
        mean_atoms, mean_bonds = (np.average(of, weights=layout.counts) for of in (size, size * (size - 1) / 2))
        parts = ((real.at[:, n:].set(False), 1 / mean_atoms),
                 (real.at[:, :n].set(False), self.bond_weight / max(mean_bonds, 1)))  # fmt: skip
        process = model.discrete.process(model.layout.space(n))
        return cross_entropy(key, model.denoiser, x, cond, process, model.discrete.steps, parts)
