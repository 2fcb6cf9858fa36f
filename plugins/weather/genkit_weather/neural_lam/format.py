"""`genkit import neural-lam` and `genkit export --to neural-lam`: whole forecasters, not networks alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import DataError, UsageError
from genkit.files import write, write_arrays
from genkit.kinds import Dataset
from genkit.model import Format
from genkit.nn import Net, shapes_of
from genkit_weather import graphs
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Statistics, WeatherData, statistics
from genkit_weather.datasets import MEPS
from genkit_weather.graphs import Edges, coordinates
from genkit_weather.lam import Domain, GraphForecaster, Limits
from genkit_weather.models import PUBLISHED, Area, GraphLAMRecipe, HiLAMRecipe, WeatherModel, published
from genkit_weather.networks import GraphLAM, HiLAM
from genkit_weather.neural_lam.columns import Columns, Order
from genkit_weather.neural_lam.files import MOMENTS, Checkpoint, read_statistics, told_of
from genkit_weather.neural_lam.weights import PREFIX, export_neural_lam_weights, import_neural_lam_weights

FLOOR = float(np.finfo(np.float32).eps)  # of standard deviations
GRID = "grid_embedder.0.weight"
WRITTEN = "genkit"  # entry of the weights: how an export was written
WEIGHTS, GRAPH, STATISTICS = "weights.safetensors", "graph.npz", "statistics.npz"


@dataclass(frozen=True)
class NeuralLAM(Format):
    """A forecaster of Neural-LAM: Graph-LAM, Hi-LAM or Hi-LAM-Parallel with its graph and statistics.

    What is read is a checkpoint, or a state_dict as .safetensors or .npz, or the folder that an export writes. The
    forecaster gives the same forecast from the same states, boundary and forcing.
    """

    data: Dataset[WeatherData] = field(default_factory=MEPS)
    """The data set that it was trained on, of which variables, grid, frame and fields are read."""
    graph: Path | None = None
    """Folder or .npz of its graph."""
    statistics: Path | None = None
    """Folder static/ with parameter_mean, parameter_std, diff_mean, diff_std (in units of parameter_std), flux_stats
    and grid_features as .pt or .npy, or one .npz of these; those that the data hold if not given."""
    propagate: tuple[Literal["g2m", "m2g", "up", "down", "none"], ...] = ()
    """Edges on which propagation networks pass messages, or none. Needed where the checkpoint does not tell, since the
    weights have the same shapes."""
    window: Order = "feature"
    """Order of the forcing: feature (now) or time (as published)."""
    once: tuple[str, ...] = ("open_water",)
    """Forcings that are told once, before the others, where the data have them."""
    rows: Literal["yx", "xy"] = "yx"
    """Order of grid nodes in the graph and in grid_features: yx where x changes fastest (as published), xy (now)."""
    negate: bool = False
    """The graph's edges are receiver minus sender."""
    lower: dict[str, float] = field(default_factory=dict)
    """Lower bounds of variables, in their units, that a forecast keeps."""
    upper: dict[str, float] = field(default_factory=dict)
    """Upper bounds."""

    def read(self, path: Path) -> tuple[WeatherModel, Any]:
        """The trained model and its recipe."""
        if path.is_dir():
            whole = replace(self, graph=self.graph or path / GRAPH, statistics=self.statistics or path / STATISTICS)
            return whole.read(path / WEIGHTS)
        if self.graph is None:
            raise UsageError("neural-lam needs --graph, the folder or .npz of the graph that the model was trained on")
        checkpoint = Checkpoint.read(path)
        return self._as_written(checkpoint)._read(checkpoint, path)

    def _read(self, checkpoint: Checkpoint, path: Path) -> tuple[WeatherModel, Any]:
        state = {PREFIX.sub("", name): value for name, value in checkpoint.state.items()}
        if GRID not in state:
            raise DataError(f"{path} has no {GRID}; expected the weights of Graph-LAM, Hi-LAM or Hi-LAM-Parallel")
        data = self.data.load()
        domain, stats = self._domain(data)
        statics = domain.static.shape[-1]
        state[GRID] = self._columns(Area.of(data), statics).read(state[GRID], path.name)
        network = _network(state, self._propagate(checkpoint, path), len(data.names))
        graph = self._graph(data)
        net = Net(network, (PUBLISHED.sizes(replace(data.layout, statics=statics)), shapes_of(graph)))
        limits = Limits.build(data.names, stats, self.lower, self.upper)
        params = import_neural_lam_weights(net.shapes(), state)
        forecaster = GraphForecaster(net, params, graph, domain, limits, network.output_std)
        recipe = HiLAMRecipe if isinstance(network, HiLAM) else GraphLAMRecipe
        options = published("global") | {"network": network, "lower": self.lower, "upper": self.upper}
        return WeatherModel(Area.of(data), forecaster), recipe(**options)

    def write(self, model: Any, path: Path, text: Path | None = None) -> str:
        """A folder with the weights, the graph and the statistics, under Neural-LAM's names."""
        forecaster = getattr(model, "forecaster", None)
        network = getattr(getattr(forecaster, "network", None), "component", None)
        if not isinstance(forecaster, GraphForecaster) or not isinstance(network, GraphLAM | HiLAM):
            raise UsageError(f"{model!r} is no Graph-LAM or Hi-LAM; neural-lam takes no other")
        domain, area = forecaster.domain, model.area
        if domain.formulation != PUBLISHED or domain.host or network.grid_width or not network.shared_embedder:
            raise UsageError(
                "neural-lam takes models of the published formulation with one embedder for interior and frame, as "
                "those of --preset paper; this one was trained otherwise"
            )
        state = export_neural_lam_weights(forecaster.params)
        state[GRID] = self._columns(area, domain.static.shape[-1]).write(state[GRID])
        features = np.empty((area.grid[0] * area.grid[1], domain.static.shape[-1]), np.float32)
        features[self._numbers(area)] = domain.static
        own = {
            "parameter_mean": domain.mean,
            "parameter_std": domain.std,
            "diff_mean": domain.residual_mean,
            "diff_std": domain.residual_std,
            "forcing_mean": domain.forcing_mean,
            "forcing_std": domain.forcing_std,
            "grid_features": features,
        }
        lower, upper = _bounds(forecaster, area.names)
        how = {"window": self.window, "rows": self.rows, "once": self.once, "lower": lower, "upper": upper}
        write(path / WEIGHTS, Checkpoint(state, told_of(network.propagate) | {WRITTEN: json.dumps(how)}).content())
        write_arrays(path / STATISTICS, own)
        graphs.save(self._whole(forecaster.graph, area), path / GRAPH)
        return f"{WEIGHTS} ({len(state)} arrays), {GRAPH} and {STATISTICS}"

    def _as_written(self, checkpoint: Checkpoint) -> NeuralLAM:
        """With the orders and bounds that an export noted, which its file alone needs no options for."""
        how = json.loads(checkpoint.told.get(WRITTEN, "{}"))
        if not how:
            return self
        bounds = {name: getattr(self, name) or how[name] for name in ("lower", "upper")}
        return replace(self, window=how["window"], rows=how["rows"], once=tuple(how["once"]), **bounds)

    def _propagate(self, checkpoint: Checkpoint, path: Path) -> tuple[str, ...]:
        told = checkpoint.propagate()
        given = tuple(edges for edges in self.propagate if edges != "none") if self.propagate else None
        if told is not None and given is not None and set(told) != set(given):
            raise UsageError(f"--propagate {' '.join(self.propagate)}: {path} says {' '.join(told) or 'none'}")
        if told is None and given is None:
            raise UsageError(
                f"{path} does not tell how messages pass: say --propagate none, or the edges that have propagation "
                "networks, as g2m m2g up down"
            )
        return told if given is None else given  # type: ignore[return-value]

    def _columns(self, area: Area, statics: int) -> Columns:
        return Columns(area, statics, self.window, tuple(f for f in self.once if f in area.forcing_names))

    def _numbers(self, area: Area | WeatherData) -> np.ndarray:
        """(H, W) Neural-LAM's number of each cell."""
        h, w = area.grid
        return np.arange(h * w).reshape(h, w) if self.rows == "yx" else np.arange(h * w).reshape(w, h).T

    def _domain(self, data: WeatherData) -> tuple[Domain, Statistics]:
        stats, static = self._statistics(data)
        if (still := np.flatnonzero(~(stats.diff_std > 0))).size:
            raise DataError(f"the standard deviation of one-step differences of {data.names[still[0]]} is 0; mend it")
        stats = replace(stats, std=np.maximum(stats.std, FLOOR), diff_std=np.maximum(stats.diff_std, FLOOR))
        domain = Domain(
            mean=stats.mean,
            std=stats.std,
            diff_std=stats.diff_std,
            forcing_mean=stats.forcing_mean,
            forcing_std=stats.forcing_std,
            static=static,
            extension=None,
            climatology=None,
            residual_mean=stats.diff_mean,
            residual_std=stats.diff_std,
            memory=None,
            frame_width=data.frame,
            formulation=PUBLISHED,
        )
        return jax.tree.map(jnp.asarray, domain), stats

    def _statistics(self, data: WeatherData) -> tuple[Statistics, np.ndarray]:
        """The statistics, and (H, W, S) static fields as the network is told them."""
        if self.statistics is None:
            stats = statistics(data)
            return stats, (data.static - stats.static_mean) / stats.static_std
        given, v, f = read_statistics(self.statistics), len(data.names), len(data.forcing_names)
        mean, std = given.get("forcing_mean", np.zeros(f)), given.get("forcing_std", np.ones(f))
        if "flux_stats" in given:
            if "toa_radiation" not in data.forcing_names:
                raise DataError(
                    f"{self.statistics}: flux_stats belong to a forcing toa_radiation; {data.source} has none"
                )
            flux = data.forcing_names.index("toa_radiation")
            mean[flux], std[flux] = given["flux_stats"].ravel()
        static = given.get("grid_features", np.zeros((data.grid[0] * data.grid[1], 0)))
        names = ("mean", "std", "diff_mean", "diff_std")
        named = {name: given[file].ravel() for name, file in zip(names, MOMENTS, strict=True)}
        named |= {"forcing_mean": mean, "forcing_std": std}
        for name, array in named.items():
            if array.shape != ((f if name.startswith("forcing") else v),):
                raise DataError(
                    f"{self.statistics}: {name} has shape {array.shape}, the data have {v} variables and {f} forcings"
                )
        if len(static) != data.grid[0] * data.grid[1]:
            raise DataError(
                f"{self.statistics}: grid_features has {len(static)} rows, the grid {data.grid[0] * data.grid[1]} cells"
            )
        kept = {name: np.asarray(array, np.float32) for name, array in named.items()}
        none = np.zeros(static.shape[1], np.float32)
        return Statistics(**kept, static_mean=none, static_std=none + 1), np.asarray(static, np.float32)[
            self._numbers(data)
        ]

    def _graph(self, data: WeatherData) -> graphs.Graph:
        """Its graph, cut into interior and frame."""
        path, places = Path(self.graph or ""), coordinates(data).reshape(-1, 2)
        graph = graphs.load(path, nodes=len(places), negate=self.negate)
        if (path / "metainfo.yaml").exists() and graph.span == 1.0:  # its places are metres then
            graph = replace(graph, span=1000 * float(np.ptp(places, axis=0).max()))
        numbers = self._numbers(data)[..., None]
        inside, outside = interior_of(numbers, data.frame).ravel(), frame_of(numbers, data.frame).ravel()
        return jax.tree.map(jnp.asarray, graphs.limited(graphs.normalised(graph), inside, outside))

    def _whole(self, graph: graphs.Graph, area: Area) -> graphs.Graph:
        """The graph over the whole grid, unlike the network's input in metres."""
        numbers = self._numbers(area)[..., None]
        order = np.concatenate([interior_of(numbers, area.frame).ravel(), frame_of(numbers, area.frame).ravel()])
        span = 1.0 if area.x is None else 1000 * float(max(np.ptp(area.x), np.ptp(area.y)))
        whole = replace(
            graph,
            g2m=Edges.build(
                order[np.asarray(graph.g2m.senders)], graph.g2m.receivers, graph.g2m.features, graph.g2m.sizes
            ),
            m2g=Edges.build(
                graph.m2g.senders,
                order[np.asarray(graph.m2g.receivers)],
                graph.m2g.features,
                (graph.m2g.sizes[0], len(order)),
            ),
            nodes=len(order),
            boundary=0,
        )
        return jax.tree.map(np.asarray, replace(whole, mesh=tuple(np.asarray(m) * span for m in graph.mesh), span=span))


def _bounds(forecaster: GraphForecaster, names: tuple[str, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """The lower and upper bounds of variables in their units."""
    limits, mean, std = forecaster.limits, np.asarray(forecaster.domain.mean), np.asarray(forecaster.domain.std)
    if limits is None:
        return {}, {}
    both = (np.asarray(bound) * std + mean for bound in (limits.low, limits.high))
    lower, upper = ({n: float(v) for n, v in zip(names, bound, strict=True) if np.isfinite(v)} for bound in both)
    return lower, upper


def _network(state: dict[str, np.ndarray], propagate: tuple[str, ...], variables: int) -> GraphLAM | HiLAM:
    """The architecture that has these weights."""

    def count(pattern: str) -> int:
        found = [int(m[1]) for name in state if (m := re.match(pattern, name))]
        return max(found, default=-1) + 1

    width = len(state[GRID])
    mlp = [name for name in state if re.fullmatch(r"grid_embedder\.\d+\.weight", name) and state[name].ndim == 2]
    outputs = [array for name, array in state.items() if re.fullmatch(r"output_map\.\d+\.weight", name)][-1:]
    options: dict[str, Any] = {
        "width": width,
        "hidden_layers": len(mlp) - 1,
        "shared_embedder": True,
        "output_std": bool(outputs) and len(outputs[0]) == 2 * variables,
    }
    if any(name.startswith("mesh_embedders") for name in state):
        parallel = count(r"processor\.module_(\d+)")
        layers = parallel or count(r"mesh_up_same_gnns\.(\d+)")
        return HiLAM(layers=layers, processor="parallel" if parallel else "sequential", propagate=propagate, **options)  # type: ignore[arg-type]
    ours = tuple(edges for edges in propagate if edges in ("g2m", "m2g"))
    return GraphLAM(layers=count(r"processor\.module_(\d+)"), propagate=ours, **options)  # type: ignore[arg-type]
