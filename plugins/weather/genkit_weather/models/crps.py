"""The recipe of CRPS-LAM: one network pass draws one member (arXiv 2510.09484)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.nn import parameter_count
from genkit.train import AdamW
from genkit_weather.data import WeatherData
from genkit_weather.graphs import Mesh
from genkit_weather.lam import Augmentation, Formulation, Generator, Score, crps_loss, domain_of
from genkit_weather.models.recipe import graph_of, net_of, planned_graph
from genkit_weather.models.staged import Loss, StagedRecipe
from genkit_weather.networks import GraphDenoiser, LamUNet, Sizes


@dataclass(frozen=True, kw_only=True)
class CRPSLAM(StagedRecipe):
    """A network that is told a random vector, trained by the fair CRPS of two or more of its members.

    The vector takes the place of the noisy field and its level in a network for diffusion. Stages with rollouts of
    several steps may follow those of one step.
    """

    fixed: ClassVar[tuple[str, ...]] = ("formulation", "network", "log", "latent", "stages")

    network: Network[Sizes] = field(default_factory=lambda: LamUNet(adaptive_scale=True, smooth=True))
    """The network: any that denoises."""
    latent: int = 32
    """Numbers of the random vector, drawn anew in every step and member."""
    score: Score = field(default_factory=lambda: Score(spectral=10.0))
    """What is scored."""
    batch: int = 4
    """Examples in a step."""
    stages: tuple[tuple[int, int], ...] = ((1, 2400),)
    """Stages of training: (steps of the rollout, training steps)."""
    later: float = 0.1
    """Learning rate over that of the stage before, in each stage whose rollouts are longer than those of the first."""

    @classmethod
    def preset(cls, name: str) -> CRPSLAM:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS)."""
        if name == "tiny":
            network = replace(
                LamUNet.preset("tiny"), base=8, embedder=8, embedding=32, adaptive_scale=True, smooth=True
            )
            return cls(network=network, latent=8, stages=((1, 20),), batch=2)
        if name == "paper":
            # 400 epochs of one step, then two steps to 800 and to 1200: of 8000 windows, 48 a step
            return cls(
                network=LamUNet.preset("paper"), formulation=Formulation.preset("paper"), augmentation=Augmentation(),
                score=Score(units="data"), optimizer=AdamW(lr=1e-3, weight_decay=0.01, b1=0.9, b2=0.95,
                schedule="constant"), batch=48, accumulate=8, ema=None, clip=None, validate=1000,
                stages=((1, 67_000), (2, 67_000), (2, 67_000)), later=0.1,
            )  # fmt: skip
        return cls()

    @classmethod
    def on_graph(cls, name: str) -> CRPSLAM:
        """The presets with messages on a hierarchy of meshes as the network.

        There the gradient of two members is too noisy, and noise on the past states becomes spread.
        """
        base, mesh = cls.preset(name), Mesh("rect_hierarchical", cells=3.0)
        width = {"tiny": 16, "paper": 128}.get(name, 64)
        layers = 4 if name == "paper" else 1
        base = replace(base, network=GraphDenoiser(mesh=mesh, width=width, layers=layers, embedding=width))
        if name == "paper":
            return base
        return replace(base, score=Score(members=4, spectral=1.0), augmentation=Augmentation())

    def __post_init__(self) -> None:
        """Check the members and the random vector."""
        super().__post_init__()
        if self.latent < 1:
            raise UsageError(f"latent={self.latent} leaves nothing that members could differ by; expected at least 1")
        if self.score.members < 2:
            raise UsageError(f"score.members={self.score.members} have no spread to be scored; expected at least 2")
        if self.score.spectral < 0:
            raise UsageError(f"score.spectral={self.score.spectral} must not be negative")

    def untrained(self, run: Any, data: WeatherData) -> Generator:
        """The forecaster with its statistics and first parameters."""
        graph = graph_of(self.network, data)
        net = net_of(self.network, replace(self.formulation.sizes(data.layout), latent=self.latent), graph)
        domain = replace(domain_of(data, self.formulation), graph=graph)
        return Generator(net, net.init(run.key("parameters")), domain, self.latent)

    def loss_of(self, model: Generator, stage: int, weight: Any, cells: Any) -> Loss:
        """The CRPS along a rollout."""

        def of(params: Any, window: Any, key: jax.Array, training: bool) -> Any:
            return crps_loss(key, replace(model, params=params), window, self.score, weight, cells, training)

        return of

    def plan(self, layout: Any, particles: int) -> dict[str, str]:
        """Sizes and parameters; the network is built of shapes only."""
        sizes = replace(self.formulation.sizes(layout), latent=self.latent)
        net = net_of(self.network, sizes, planned_graph(self.network, layout))
        return {**super().plan(layout, particles), "parameters": f"{parameter_count(net.shapes()):,}"}
