"""The recipes of models on graphs: Graph-LAM and Hi-LAM, deterministic, and what Graph-EFM shares with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.nn import Net, parameter_count, shapes_of
from genkit.train import AdamW
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import WeatherData, statistics
from genkit_weather.graphs import Graph, Mesh, normalised
from genkit_weather.lam import (
    Augmentation,
    Domain,
    Formulation,
    GraphForecaster,
    Limits,
    domain_of,
    graph_loss,
)
from genkit_weather.models.recipe import MEPS_WEIGHTS
from genkit_weather.models.staged import Loss, StagedRecipe
from genkit_weather.networks import GraphLAM, HiLAM, Sizes

PUBLISHED = Formulation(guess="persistence", fill=False, tendencies=False, future=False)
ADAMW = AdamW(lr=1e-3, weight_decay=0.01, b1=0.9, b2=0.95, schedule="constant", warmup=0)


@dataclass(frozen=True, kw_only=True)
class GraphRecipe(StagedRecipe):
    """A network on a graph, trained in stages of growing rollouts."""

    fixed: ClassVar[tuple[str, ...]] = ("formulation", "network", "log", "lower", "upper", "stages")
    on_nodes: ClassVar[bool] = True

    network: Network[Sizes, Graph] = field(default_factory=lambda: GraphLAM(mesh=Mesh(cells=3.0)))
    """The network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, weight_decay=0.01))
    """The optimiser. A much higher rate teaches a network to do without its mesh: the grid's own path learns first, and
    the layer norms of the mesh, full of constants, pass on no gradient."""
    lower: dict[str, float] = field(default_factory=dict)
    """Lower bounds of variables, in their units, that a forecast keeps."""
    upper: dict[str, float] = field(default_factory=dict)
    """Upper bounds."""

    def __post_init__(self) -> None:
        """No variable has two kinds of bounds."""
        super().__post_init__()
        if twice := set(self.log) & (set(self.lower) | set(self.upper)):
            raise UsageError(f"{sorted(twice)[0]} has a bound, and log keeps it above 0 already; leave one out")

    def pieces(self, run: Any, data: WeatherData) -> tuple[Net, Any, Graph, Domain, Limits | None]:
        """The network, its first parameters, its graph, the domain and the bounds."""
        options: Any = self.network
        graph = self.graph(data)
        kept = replace(options, graph=None) if hasattr(options, "graph") else options  # its file may go
        net = Net(kept, (self.sizes(data), shapes_of(graph)))
        limits = Limits.build(data.names, statistics(data), self.lower, self.upper)
        return net, net.init(run.key("parameters")), graph, domain_of(data, self.formulation), limits

    def graph(self, data: WeatherData) -> Graph:
        """The graph of the network on the data."""
        options: Any = self.network
        if not hasattr(options, "over"):
            raise UsageError(f"{type(options).__name__} is no network on a graph, as graph_lam and hi_lam are")
        return options.over(data)

    def plan(self, layout: Any, particles: int) -> dict[str, str]:
        """Sizes and parameters; the network is built of shapes only, on a mesh over cells as far apart in x and y."""
        options, plan = self.network, super().plan(layout, particles)
        mesh: Any = getattr(options, "mesh", None)
        if (
            mesh is not None
            and options.graph is None  # type: ignore[attr-defined]
            and mesh.kind.startswith("rect")
            and not (mesh.distance and layout.spacing is None)
        ):  # type: ignore[attr-defined]
            (h, w), spacing = layout.grid, layout.spacing or 1.0
            places = spacing * np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1)
            inside = interior_of(places, layout.frame).reshape(-1, 2)
            graph = normalised(mesh.build(inside, layout.grid, frame_of(places, layout.frame), spacing))
            levels = zip(graph.mesh, graph.m2m, strict=True)
            plan["mesh"] = ", ".join(f"{len(m)} nodes and {len(e)} edges" for m, e in levels)
            net = Net(options, (self.formulation.sizes(layout), shapes_of(graph)))
            plan["parameters"] = f"{parameter_count(net.shapes()):,}"
        return plan


@dataclass(frozen=True, kw_only=True)
class GraphLAMRecipe(GraphRecipe):
    """Messages on a mesh over the area, one network pass a step (Graph-LAM, arXiv 2309.17370)."""

    loss: Literal["mse", "mae", "nll"] = "mse"
    """Squared error, absolute error, or the negative log density, for which the network may predict a std."""

    @classmethod
    def preset(cls, name: str) -> GraphLAMRecipe:
        """Presets tiny, default, paper (MEPS) and global (GraphCast* of the Graph-EFM paper: 8 rounds, width 256)."""
        globe = GraphLAM(mesh=Mesh("tri_multiscale"), width=256, layers=8)
        return cls(**deterministic(name, GraphLAM, "rect_multiscale", globe))

    def untrained(self, run: Any, data: WeatherData) -> GraphForecaster:
        """The forecaster with its graph, statistics and first parameters."""
        net, params, graph, domain, limits = self.pieces(run, data)
        return GraphForecaster(net, params, graph, domain, limits, net.component.output_std)

    def loss_of(self, model: GraphForecaster, stage: int, weight: Any, cells: Any) -> Loss:
        """The error along a rollout."""

        def of(params: Any, window: Any, key: Any, training: bool) -> Any:
            return graph_loss(replace(model, params=params), window, self.loss, weight, cells), {}

        return of


@dataclass(frozen=True, kw_only=True)
class HiLAMRecipe(GraphLAMRecipe):
    """Messages up and down a hierarchy of meshes (Hi-LAM, its parallel variant, Graph-FM)."""

    network: Network[Sizes, Graph] = field(
        default_factory=lambda: HiLAM(mesh=Mesh("rect_hierarchical", cells=3.0), layers=2)
    )
    """The network."""

    @classmethod
    def preset(cls, name: str) -> HiLAMRecipe:
        """Presets tiny, default, paper (MEPS) and global (Graph-FM: 4 rounds, width 256)."""
        globe = HiLAM(mesh=Mesh("tri_hierarchical", levels=4), width=256, propagate=("g2m", "m2g", "up", "down"))
        return cls(**deterministic(name, HiLAM, "rect_hierarchical", globe))


def published(name: str) -> dict[str, Any]:
    """What the published recipes of MEPS (paper) and of the globe at 1.5 degrees (global) have in common."""
    options: dict[str, Any] = {
        "formulation": PUBLISHED,
        "augmentation": Augmentation(),
        "optimizer": ADAMW,
        "batch": 4,
        "clip": None,
        "ema": None,
        "validate": 1000,
    }
    return options | ({"weights": MEPS_WEIGHTS} if name == "paper" else {})


def deterministic(name: str, network: Any, kind: Any, globe: Any) -> dict[str, Any]:
    """Options of a preset of the deterministic models; `globe` is the network of the global one."""
    if name == "tiny":
        return {"network": network(mesh=Mesh(kind, cells=3.0), width=24, layers=1), "stages": ((1, 40),), "batch": 4}
    if name not in ("paper", "global"):
        return {}
    network = globe if name == "global" else network(mesh=Mesh(kind), shared_embedder=True)
    return {**published(name), "network": network, "checkpoint": "best", "stages": ((1, 100_000),)}
