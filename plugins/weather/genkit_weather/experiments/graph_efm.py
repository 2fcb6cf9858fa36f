"""`weather.graph_efm`: ensembles of a limited area, or the globe, by a latent variable on a mesh."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Network
from genkit_weather.experiments.graph_lam import GraphForecast, published
from genkit_weather.graphs import Mesh
from genkit_weather.lam import LatentForecaster, LatentWeights, augment, latent_loss
from genkit_weather.networks.graph_efm import GraphEFM


@dataclass(frozen=True)
class GraphEFMForecast(GraphForecast):
    """Ensemble forecasts by one network pass a step: a latent variable on a mesh carries what is uncertain.

    Trained as a conditional variational auto-encoder, first alone, then with its prior, then by the CRPS of its own
    rollouts (Graph-EFM, Oskarsson et al. 2024, arXiv 2406.04759).
    """

    network: Network = field(default_factory=lambda: GraphEFM(mesh=Mesh("rect_hierarchical", distance=900.0)))
    """The network; with a flat or multi-scale mesh it is Graph-EFM (ms)."""
    members: int = 32
    """Ensemble members; the mean of M errs by a factor of sqrt(1 + 1/M) more than that of very many."""
    batch: int = 4
    """Starts in a step of training."""
    stages: tuple[tuple[int, int], ...] = ((1, 100), (1, 2700), (4, 600))
    """Stages of training: (steps of the rollout, training steps)."""
    beta: tuple[float, ...] = (0.0, 1.0, 1.0)
    """Weight of the divergence between posterior and prior in each stage; 0 trains an auto-encoder."""
    crps: tuple[float, ...] = (0.0, 0.0, 10.0)
    """Weight of the CRPS in each stage."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (MEPS) and global (1.5 degrees), both of the published sizes."""
        from genkit_weather.datasets.qg_nature import QGNature

        if name == "default":
            return cls()
        if name == "tiny":
            return cls(
                data=QGNature.preset("tiny"),
                network=GraphEFM(mesh=Mesh("rect_hierarchical", distance=900.0), width=24),
                starts=4,
                leads=4,
                members=4,
                long_leads=0,
                stages=((1, 90),),
                beta=(1.0,),
                crps=(10.0,),
                baselines=("climatology", "persistence", "harmonic", "ar2"),
            )
        meshes = {"paper": Mesh("rect_hierarchical", levels=3), "global": Mesh("tri_hierarchical", levels=4)}
        if name not in meshes:
            raise UsageError(f"weather.graph_efm has no preset {name!r}; it has tiny, default, paper and global")
        globe = name == "global"
        return cls(
            **published(name),
            network=GraphEFM(mesh=meshes[name], width=256 if globe else 128, shared_embedder=not globe),
            members=80 if globe else 100,
            # the lengths and weights of the published stages are not known
            stages=((1, 50_000), (1, 50_000), (4, 20_000)),
        )

    def __post_init__(self) -> None:
        """Check the stages."""
        super().__post_init__()
        if not self.stages or any(len(s) != 2 or min(s) < 1 for s in self.stages):
            raise UsageError(f"stages={self.stages} must be pairs (steps of the rollout, training steps), all positive")
        if not len(self.stages) == len(self.beta) == len(self.crps):
            raise UsageError(
                f"{len(self.stages)} stages need as many values of beta and crps, got {self.beta} and {self.crps}"
            )
        if min(self.beta) < 0 or min(self.crps) < 0:
            raise UsageError(f"beta={self.beta} and crps={self.crps} must not be negative")

    def stepper(self, run: Run) -> LatentForecaster:
        """The trained model."""
        return run.once("forecaster", lambda: self._trained(run))

    def _trained(self, run: Run) -> LatentForecaster:
        data, domain, weight = self.weather(run), self.domain(run), self.loss_weights(run)
        options: Any = self.network
        network, graph, first, limits = self.pieces(run)
        cells = self.interior_weights(data)
        latent = options.latent or options.width
        model = LatentForecaster(network, first, graph, domain, latent, limits, options.output_std)

        def loss(stage: int) -> Any:
            how = LatentWeights(self.beta[stage], self.crps[stage])

            def of(params: Any, aux: Any, window: Any, key: Any, training: bool = True) -> Any:
                if training:
                    window = replace(window, given=augment(key, domain, window.given, self.augmentation))
                value, terms = latent_loss(key, replace(model, params=params), window, how, weight, cells)
                return value, (aux, terms)

            return of

        return replace(model, params=self.staged(run, self.stages, loss, first))
