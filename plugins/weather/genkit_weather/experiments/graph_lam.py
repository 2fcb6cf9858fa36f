"""`weather.graph_lam` and `weather.hi_lam`: deterministic forecasts of a limited area, or the globe, on a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Dataset, Network, Optimizer
from genkit.nn import abstract, functional, parameter_count
from genkit.train import AdamW
from genkit_weather.data import Series, WeatherData, statistics
from genkit_weather.experiments.learned import MEPS_WEIGHTS, LearnedForecast
from genkit_weather.frame import frame_of, interior_of
from genkit_weather.graphs import Graph, Mesh, normalised
from genkit_weather.host import HostWindow, surrounded
from genkit_weather.lam import (
    Augmentation,
    Formulation,
    GraphForecaster,
    Limits,
    Outlook,
    Windows,
    augment,
    graph_loss,
)
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM
from genkit_weather.verification import latitude_weights

PUBLISHED = Formulation(guess="persistence", fill=False, tendencies=False, future=False)
ADAMW = AdamW(lr=1e-3, weight_decay=0.01, b1=0.9, b2=0.95, schedule="constant", warmup=0)


@dataclass(frozen=True)
class GraphForecast(LearnedForecast):
    """What the experiments on graphs share: the graph, stages of growing rollouts, bounds, weights of latitude."""

    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, weight_decay=0.01))
    """The optimiser. A much higher rate teaches a network to do without its mesh: the grid's own path learns first, and
    the layer norms of the mesh, full of constants, pass on no gradient."""
    finetune: float = 0.3
    """Learning rate of stages with longer rollouts over that of the first."""
    lower: dict[str, float] = field(default_factory=dict)
    """Lower bounds of variables, in their units, that a forecast keeps."""
    upper: dict[str, float] = field(default_factory=dict)
    """Upper bounds."""
    host: Dataset | None = None
    """A second data set around the area, on its own grid and with its own step: the boundary in place of a frame. Only
    the interior of `data` is used then, and all of it is forecast (Oskarsson, Adamov et al. 2025, arXiv 2504.09340)."""
    window: HostWindow = field(default_factory=HostWindow)
    """What is seen of the second data set."""
    latitude: bool = False
    """Weigh cells by their area on a grid of latitudes and longitudes, in the loss and in the scores."""

    def cell_weights(self, data: WeatherData) -> np.ndarray | None:
        """(H, W) weights of the cells in the scores."""
        return latitude_weights(data) if self.latitude else None

    def weather(self, run: Run) -> WeatherData:
        """The data; without their frame where a second data set is the boundary."""
        data, host = super().weather(run), self.host
        return data if host is None else run.once("area", lambda: surrounded(data, host.load(), self.window))

    def outlook(self, run: Run, series: Series, starts: Sequence[int], leads: int) -> Outlook:
        """What forecasts from starts of a test series are given."""
        data, outside = self.weather(run), None
        if data.around is not None:
            number = next(i for i, one in enumerate(data.test) if one is series)
            outside = data.around.windows("test", number, np.asarray(starts), leads)
        return Outlook.build(self.domain(run), series, starts, leads, outside)

    def graph(self, run: Run) -> Graph:
        """The graph of the network on the data."""
        options: Any = self.network  # type: ignore[attr-defined]
        if not hasattr(options, "over"):
            raise UsageError(f"{type(options).__name__} is no network on a graph, as graph_lam and hi_lam are")
        return run.once("graph", lambda: options.over(self.weather(run)))

    def pieces(self, run: Run) -> tuple[Any, Graph, Any, Any]:
        """The network as a function, its graph, its first parameters, the bounds."""
        data, graph = self.weather(run), self.graph(run)
        options: Any = self.network  # type: ignore[attr-defined]
        sizes = self.formulation.sizes(data.layout)
        if data.around is not None:
            sizes = replace(sizes, boundary=data.around.channels)
        network, params = functional(options.build(nnx.Rngs(run.key("parameters")), sizes, graph))
        return network, graph, params, Limits.build(data.names, statistics(data), self.lower, self.upper)

    def staged(self, run: Run, stages: Sequence[tuple[int, int]], loss: Any, params: Any) -> Any:
        """Parameters trained stage by stage, each of (steps of the rollout, training steps), from those of the last.

        `loss(stage)` gives the loss of a stage, numbered from 0.
        """
        data, domain = self.weather(run), self.domain(run)
        for number, (leads, steps) in enumerate(stages):
            optimizer: Any = self.optimizer.build(steps)
            if leads > stages[0][0]:
                optimizer = optax.chain(optimizer, optax.scale(self.finetune))
            known = self.known(run, Windows(data.val, domain, leads, data.around, "val"), f"known {leads}")
            windows = Windows(data.train, domain, leads, data.around)
            params = self.fit(run, f"stage_{number + 1}", loss(number), params, None, windows, known, steps, optimizer)
        return params

    def interior_weights(self, data: WeatherData) -> Any:
        """(h, w, 1) weights of the interior cells with mean 1, or None."""
        if not self.latitude:
            return None
        weights = interior_of(latitude_weights(data)[..., None], data.frame)
        return jnp.asarray(weights / weights.mean(), jnp.float32)

    def plan(self) -> dict[str, str]:
        """Sizes and parameters; with the classic mesh the network is built of shapes only."""
        options: Any = self.network  # type: ignore[attr-defined]
        if not hasattr(self.data, "layout") or self.host is not None:
            return {}
        layout = self.data.layout()  # type: ignore[attr-defined]
        sizes = self.formulation.sizes(layout)
        (h, w), (fy, fx) = layout.grid, layout.frame
        plan = {
            "domain": f"{h} x {w} cells, interior {h - 2 * fy} x {w - 2 * fx}, {layout.variables} variables",
            "conditioning": f"{sizes.interior} channels inside, {sizes.boundary} in the frame, {sizes.scalars} scalars",
        }
        mesh: Mesh = options.mesh
        if options.graph is None and mesh.kind.startswith("rect") and mesh.distance is None:
            places = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)
            inside = interior_of(places, layout.frame).reshape(-1, 2)
            graph = normalised(mesh.build(inside, layout.grid, frame_of(places, layout.frame)))
            _, params = abstract(lambda rngs: options.build(rngs, sizes, graph))
            levels = zip(graph.mesh, graph.m2m, strict=True)
            plan["mesh"] = ", ".join(f"{len(m)} nodes and {len(e)} edges" for m, e in levels)
            plan["parameters"] = f"{parameter_count(params):,}"
        return plan


@dataclass(frozen=True)
class GraphLAMForecast(GraphForecast):
    """Deterministic forecasts by messages on a mesh over the area.

    One step is one pass: grid to mesh, rounds of messages on the mesh, mesh to grid; forecasts of any length are made
    by feeding predictions back, and training ends with rollouts of several steps (Graph-LAM, Oskarsson et al. 2023,
    arXiv 2309.17370).
    """

    network: Network = field(default_factory=lambda: GraphLAM(mesh=Mesh(distance=900.0)))
    """The network."""
    members: int = 1
    """All members of a deterministic forecast are the same."""
    loss: Literal["mse", "mae", "nll"] = "mse"
    """Squared error, absolute error, or the negative log density, for which the network may predict a std."""
    stages: tuple[tuple[int, int], ...] = ((1, 900), (4, 300))
    """Stages of training: (steps of the rollout, training steps)."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS, as published), global (GraphCast* of the
        Graph-EFM paper: 1.5 degrees, 8 rounds, width 256)."""
        globe = GraphLAM(mesh=Mesh("tri_multiscale"), width=256, layers=8)
        return cls(**_preset("graph_lam", name, "rect_multiscale", globe))

    def __post_init__(self) -> None:
        """Check the stages."""
        super().__post_init__()
        if not self.stages or any(len(s) != 2 or min(s) < 1 for s in self.stages):
            raise UsageError(f"stages={self.stages} must be pairs (steps of the rollout, training steps), all positive")

    def stepper(self, run: Run) -> GraphForecaster:
        """The trained model."""
        return run.once("forecaster", lambda: self._trained(run))

    def _trained(self, run: Run) -> GraphForecaster:
        data, domain, weight = self.weather(run), self.domain(run), self.loss_weights(run)
        network, graph, first, limits = self.pieces(run)
        options: Any = self.network
        cells = self.interior_weights(data)
        model = GraphForecaster(network, first, graph, domain, limits, options.output_std)

        def loss(stage: int) -> Any:
            def of(params: Any, aux: Any, window: Any, key: Any, training: bool = True) -> Any:
                if training:
                    window = replace(window, given=augment(key, domain, window.given, self.augmentation))
                return graph_loss(replace(model, params=params), window, self.loss, weight, cells), (aux, {})

            return of

        return replace(model, params=self.staged(run, self.stages, loss, first))


@dataclass(frozen=True)
class HiLAMForecast(GraphLAMForecast):
    """Deterministic forecasts by messages up and down a hierarchy of meshes over the area.

    As `weather.graph_lam`, with several mesh levels: Hi-LAM, its parallel variant and Graph-FM (Oskarsson et al. 2023,
    arXiv 2309.17370, and 2024, arXiv 2406.04759).
    """

    network: Network = field(default_factory=lambda: HiLAM(mesh=Mesh("rect_hierarchical", distance=900.0), layers=2))
    """The network."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (MEPS, as published), global (Graph-FM: 1.5 degrees,
        4 rounds, width 256)."""
        globe = HiLAM(mesh=Mesh("tri_hierarchical", levels=4), width=256, propagate=True)
        return cls(**_preset("hi_lam", name, "rect_hierarchical", globe))


def published(name: str) -> dict[str, Any]:
    """What the published models of MEPS (paper) and of the globe at 1.5 degrees (global) have in common."""
    from genkit_weather.datasets.meps_npy import MEPS
    from genkit_weather.datasets.weatherbench2 import WeatherBench2

    options: dict[str, Any] = {
        "formulation": PUBLISHED,
        "augmentation": Augmentation(),
        "optimizer": ADAMW,
        "long_leads": 0,
        "chunk": 4,
        "batch": 4,
        "clip": None,
        "ema": None,
        "validate": 1000,
        "baseline_members": 10,
    }
    if name == "global":
        baselines = ("climatology", "persistence")
        return {**options, "data": WeatherBench2(), "latitude": True, "leads": 40, "baselines": baselines}
    baselines = ("climatology", "persistence", "harmonic", "ar2")
    return {**options, "data": MEPS.preset("paper"), "weights": MEPS_WEIGHTS, "leads": 19, "baselines": baselines}


def _preset(experiment: str, name: str, kind: Any, globe: Any) -> dict[str, Any]:
    """Options of a preset; `globe` is the network of the global one."""
    from genkit_weather.datasets.qg_nature import QGNature

    network = type(globe)
    if name == "default":
        return {}
    if name == "tiny":
        return {
            "data": QGNature.preset("tiny"),
            "network": network(mesh=Mesh(kind, distance=900.0), width=24, layers=1),
            "starts": 4,
            "leads": 4,
            "long_leads": 0,
            "stages": ((1, 150), (2, 30)),
            "baselines": ("climatology", "persistence", "harmonic", "ar2"),
        }
    if name == "paper":
        globe = network(mesh=Mesh(kind), shared_embedder=True)
    elif name != "global":
        raise UsageError(f"weather.{experiment} has no preset {name!r}; it has tiny, default, paper and global")
    return {**published(name), "network": globe, "keep": "best", "stages": ((1, 100_000),)}
