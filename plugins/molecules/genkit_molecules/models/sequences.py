"""Recipes of generators of sequences: order-agnostic autoregression, masked diffusion, and D3PM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.train import AdamW
from genkit_molecules.items import Kind, Sequences
from genkit_molecules.models.discrete import Discrete, Name
from genkit_molecules.models.recipe import GeneratorRecipe
from genkit_molecules.models.trained import Generator
from genkit_molecules.networks import ByteNet


@dataclass(frozen=True, kw_only=True)
class SequenceRecipe(GeneratorRecipe):
    """A model of sequences with the network of EvoDiff-Seq (arXiv 2309.04175); subclasses name it."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps", "epochs", "diffusion_steps", "eta")
    clip: ClassVar[float | None] = 1.0
    name: ClassVar[Name]

    network: Network[int, Kind, int, int] = field(default_factory=lambda: ByteNet.preset("default"))
    """The network."""
    batch: int = 64
    """Sequences in a step."""

    @classmethod
    def preset(cls, name: str) -> Any:
        """Presets tiny, default, and paper (the network and learning rate of EvoDiff-Seq, 38 M parameters)."""
        if name == "tiny":
            return cls(steps=20, batch=16, network=ByteNet.preset("tiny"))
        if name == "paper":
            return cls(steps=500_000, batch=256, network=ByteNet(), optimizer=AdamW(lr=1e-4, warmup=10_000))
        return cls()

    def discrete(self) -> Discrete:
        """The model."""
        return Discrete(self.name)

    def fit(self, run: Any, data: Sequences, start: Generator | None = None) -> Generator:
        """Train the network."""
        return self.learned(run, data, start)


@dataclass(frozen=True, kw_only=True)
class SequenceARDM(SequenceRecipe):
    """Order-agnostic autoregression of sequences, as of EvoDiff (arXiv 2309.04175)."""

    name: ClassVar[Name] = "ardm"
    used: ClassVar[tuple[str, ...]] = ("sizes",)

    sizes: int | None = None
    """Lengths that are sampled: the most frequent ones; all if not given."""
    calls: int = 0
    """Network calls of a sample that reveals several sites at once; 0 is one a site, which alone is exact."""


@dataclass(frozen=True, kw_only=True)
class Diffusion(SequenceRecipe):
    """Diffusion of sequences in so many steps."""

    diffusion_steps: int = 100
    """Steps of diffusion."""

    def __post_init__(self) -> None:
        """Check the steps."""
        super().__post_init__()
        if self.diffusion_steps < 1:
            raise UsageError(f"diffusion_steps={self.diffusion_steps} is too few; expected at least 1")
        self.discrete()

    def discrete(self) -> Discrete:
        """The model."""
        return Discrete(self.name, steps=self.diffusion_steps, eta=getattr(self, "eta", 0.0))


@dataclass(frozen=True, kw_only=True)
class Masked(Diffusion):
    """Masked diffusion of sequences in continuous time, sampled by its posterior."""

    name: ClassVar[Name] = "masked"


@dataclass(frozen=True, kw_only=True)
class Euler(Diffusion):
    """Masked diffusion of sequences, sampled by its rates."""

    name: ClassVar[Name] = "euler"


@dataclass(frozen=True, kw_only=True)
class Flow(Diffusion):
    """Masked diffusion of sequences, sampled by the rates of a flow that hides sites again."""

    name: ClassVar[Name] = "flow"

    eta: float = 0.0
    """Rate at which it hides sites again."""


@dataclass(frozen=True, kw_only=True)
class Remasked(Diffusion):
    """Masked diffusion of sequences, sampled by a posterior that hides sites again: ReMDM (arXiv 2503.00307)."""

    name: ClassVar[Name] = "remasked"

    eta: float = 0.02
    """Largest probability with which a visible site is hidden again in a step."""


@dataclass(frozen=True, kw_only=True)
class Uniform(Diffusion):
    """D3PM of sequences with uniform noise."""

    name: ClassVar[Name] = "uniform"


@dataclass(frozen=True, kw_only=True)
class Marginal(Diffusion):
    """D3PM of sequences with noise of the letters' frequencies."""

    name: ClassVar[Name] = "marginal"


@dataclass(frozen=True, kw_only=True)
class Absorbing(Diffusion):
    """D3PM of sequences that all become the first letter."""

    name: ClassVar[Name] = "absorbing"


@dataclass(frozen=True, kw_only=True)
class Blosum(Diffusion):
    """D3PM of sequences that exchanges amino acids as BLOSUM62 has it, as of EvoDiff (arXiv 2309.04175)."""

    name: ClassVar[Name] = "blosum"

    diffusion_steps: int = 500
    """Steps of diffusion."""
