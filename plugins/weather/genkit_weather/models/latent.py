"""The recipe of Graph-EFM: a latent variable on a mesh (Oskarsson et al. 2024, arXiv 2406.04759)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit_weather.data import WeatherData
from genkit_weather.graphs import Graph, Mesh
from genkit_weather.lam import LatentForecaster, LatentWeights, latent_loss
from genkit_weather.models.graph import GraphRecipe, published
from genkit_weather.models.staged import Loss
from genkit_weather.networks import GraphEFM, Sizes


@dataclass(frozen=True, kw_only=True)
class GraphEFMRecipe(GraphRecipe):
    """A conditional variational auto-encoder, trained alone, then with its prior, then by the CRPS of its rollouts."""

    fixed: ClassVar[tuple[str, ...]] = (*GraphRecipe.fixed, "beta", "crps", "draws")

    network: Network[Sizes, Graph] = field(default_factory=lambda: GraphEFM(mesh=Mesh("rect_hierarchical", cells=3.0)))
    """The network; with a flat or multi-scale mesh it is Graph-EFM (ms)."""
    batch: int = 4
    """Starts in a step of training."""
    stages: tuple[tuple[int, int], ...] = ((1, 100), (1, 2700), (4, 600))
    """Stages of training: (steps of the rollout, training steps)."""
    beta: tuple[float, ...] = (0.0, 1.0, 1.0)
    """Weight of the divergence between posterior and prior in each stage; 0 trains an auto-encoder."""
    crps: tuple[float, ...] = (0.0, 0.0, 10.0)
    """Weight of the CRPS in each stage."""
    draws: bool = False
    """Members are drawn from the density of the decoder, with an error of each cell, rather than its means."""

    @classmethod
    def preset(cls, name: str) -> GraphEFMRecipe:
        """Presets tiny, default, paper (MEPS) and global (1.5 degrees), both of the published sizes."""
        if name == "tiny":
            network = GraphEFM(mesh=Mesh("rect_hierarchical", cells=3.0), width=24)
            return cls(network=network, stages=((1, 20),), beta=(1.0,), crps=(0.0,), batch=2)
        meshes = {"paper": Mesh("rect_hierarchical", levels=3), "global": Mesh("tri_hierarchical", levels=4)}
        if name not in meshes:
            return cls()
        globe = name == "global"
        network = GraphEFM(mesh=meshes[name], width=256 if globe else 128, shared_embedder=not globe)
        # the lengths and weights of the published stages are not known
        return cls(**published(name), network=network, stages=((1, 50_000), (1, 50_000), (4, 20_000)))

    def __post_init__(self) -> None:
        """Check the stages."""
        super().__post_init__()
        if not len(self.stages) == len(self.beta) == len(self.crps):
            raise UsageError(
                f"{len(self.stages)} stages need as many values of beta and crps, got {self.beta} and {self.crps}"
            )
        if min(self.beta) < 0 or min(self.crps) < 0:
            raise UsageError(f"beta={self.beta} and crps={self.crps} must not be negative")
        if self.draws and not getattr(self.network, "output_std", True):
            raise UsageError("draws=True needs a decoder with a density: network.output_std=True")

    def untrained(self, run: Any, data: WeatherData) -> LatentForecaster:
        """The forecaster with its graph, statistics and first parameters."""
        net, params, graph, domain, limits = self.pieces(run, data)
        options = net.component
        latent = options.latent or options.width
        return LatentForecaster(net, params, graph, domain, latent, limits, options.output_std, self.draws)

    def loss_of(self, model: LatentForecaster, stage: int, weight: Any, cells: Any) -> Loss:
        """The evidence bound along a rollout, with the CRPS where the stage has it."""
        how = LatentWeights(self.beta[stage], self.crps[stage])

        def of(params: Any, window: Any, key: Any, training: bool) -> Any:
            return latent_loss(key, replace(model, params=params), window, how, weight, cells)

        return of
