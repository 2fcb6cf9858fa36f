"""Networks with the weights of Neural-LAM against a slow loop over single edges."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from genkit.errors import DataError, UsageError
from genkit.files import write_arrays
from genkit.model import load, save
from genkit.nn import functional
from genkit_weather import graphs
from genkit_weather.data import Series, WeatherData
from genkit_weather.graphs import Mesh
from genkit_weather.networks.conditioning import Sizes
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM
from genkit_weather.neural_lam import NeuralLAM, import_neural_lam_graph, import_neural_lam_weights

H, P, V, C = 8, 2, 3, 11
FLOOR = np.finfo(np.float32).eps
GRID = np.stack(np.meshgrid(np.arange(27.0), np.arange(27.0)), -1).reshape(-1, 2)


EDGES = {  # the networks of each kind of edge
    "g2m": ["g2m_gnn"],
    "m2g": ["m2g_gnn"],
    "up": ["mesh_init_gnns", "mesh_up_gnns"],
    "down": ["mesh_read_gnns", "mesh_down_gnns"],
}


class Reference:
    """Neural-LAM as loops in float64, by the names of its state_dict; the weights are drawn as they are asked for."""

    def __init__(self, propagate=(), outputs=V):
        self.state, self.rng = {}, np.random.default_rng(0)
        self.propagate, self.outputs = propagate, outputs

    def weight(self, name, *shape):
        return self.state.setdefault(name, self.rng.normal(0, 0.4, shape).astype(np.float32)).astype(np.float64)

    def mlp(self, name, x, out=H, norm=True):
        h = x @ self.weight(f"{name}.0.weight", H, x.shape[-1]).T + self.weight(f"{name}.0.bias", H)
        h = h / (1 + np.exp(-h))
        h = h @ self.weight(f"{name}.2.weight", out, H).T + self.weight(f"{name}.2.bias", out)
        if not norm:
            return h
        h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
        return h * self.weight(f"{name}.3.weight", out) + self.weight(f"{name}.3.bias", out)

    def messages(self, name, index, e, send, receive):
        return np.stack(
            [self.mlp(name, np.concatenate([e[k], send[j], receive[i]])) for k, (j, i) in enumerate(index.T)]
        )

    def total(self, index, messages, count):
        out = np.zeros((count, H))
        for m, i in zip(messages, index[1], strict=True):
            out[i] += m
        return out

    def net(self, name, index, e, send, receive):
        m = self.messages(f"{name}.edge_mlp", index, e, send, receive)
        passes = any(name.startswith(stem) for edges in self.propagate for stem in EDGES[edges])
        if passes:
            m = m + send[index[0]]
        a = self.total(index, m, len(receive))
        if passes:
            a = a / np.maximum(np.bincount(index[1], minlength=len(receive)), 1)[:, None]
        return (a if passes else receive) + self.mlp(f"{name}.aggr_mlp", np.concatenate([receive, a], -1)), e + m

    def encode(self, g, x, mesh):
        h = self.mlp("grid_embedder", x)
        e = self.mlp("g2m_embedder", g["g2m_features"])
        mesh = self.net("g2m_gnn", g["g2m_edge_index"], e, h, mesh)[0]
        return h + self.mlp("encoding_grid_mlp", h), mesh

    def decode(self, g, h, mesh):
        e = self.mlp("m2g_embedder", g["m2g_features"])
        h = self.net("m2g_gnn", g["m2g_edge_index"], e, mesh, h)[0]
        return self.mlp("output_map", h, self.outputs, norm=False)

    def graph_lam(self, g, x):
        h, mesh = self.encode(g, x, self.mlp("mesh_embedder", g["mesh_features"][0]))
        e = self.mlp("m2m_embedder", g["m2m_features"][0])
        for p in range(P):
            mesh, e = self.net(f"processor.module_{p}", g["m2m_edge_index"][0], e, mesh, mesh)
        return self.decode(g, h, mesh)

    def hi_lam(self, g, x, parallel):
        levels = len(g["mesh_features"])
        each = range(levels), range(levels - 1)
        h, first = self.encode(g, x, self.mlp("mesh_embedders.0", g["mesh_features"][0]))
        mesh = [first, *(self.mlp(f"mesh_embedders.{i}", g["mesh_features"][i]) for i in each[0][1:])]
        same = [self.mlp(f"mesh_same_embedders.{i}", g["m2m_features"][i]) for i in each[0]]
        up = [self.mlp(f"mesh_up_embedders.{i}", g["mesh_up_features"][i]) for i in each[1]]
        down = [self.mlp(f"mesh_down_embedders.{i}", g["mesh_down_features"][i]) for i in each[1]]

        def within(name, i):
            mesh[i], same[i] = self.net(name, g["m2m_edge_index"][i], same[i], mesh[i], mesh[i])

        def rise(name, i):
            mesh[i + 1], up[i] = self.net(name, g["mesh_up_edge_index"][i], up[i], mesh[i], mesh[i + 1])

        def fall(name, i):
            mesh[i], down[i] = self.net(name, g["mesh_down_edge_index"][i], down[i], mesh[i + 1], mesh[i])

        for i in each[1]:
            rise(f"mesh_init_gnns.{i}", i)
        for p in range(P):
            if parallel:
                self.parallel(f"processor.module_{p}", g, mesh, same, up, down)
                continue
            within(f"mesh_down_same_gnns.{p}.{levels - 1}", levels - 1)
            for i in reversed(each[1]):
                fall(f"mesh_down_gnns.{p}.{i}", i)
                within(f"mesh_down_same_gnns.{p}.{i}", i)
            within(f"mesh_up_same_gnns.{p}.0", 0)
            for i in each[1]:
                rise(f"mesh_up_gnns.{p}.{i}", i)
                within(f"mesh_up_same_gnns.{p}.{i + 1}", i + 1)
        for i in reversed(each[1]):
            mesh[i] = self.net(f"mesh_read_gnns.{i}", g["mesh_down_edge_index"][i], down[i], mesh[i + 1], mesh[i])[0]
        return self.decode(g, h, mesh[0])

    def parallel(self, name, g, mesh, same, up, down):
        levels, totals, new, k = len(mesh), [np.zeros_like(m) for m in mesh], [], 0
        for states, kind, shift in ((same, "m2m", (0, 0)), (up, "mesh_up", (0, 1)), (down, "mesh_down", (1, 0))):
            for i, e in enumerate(states):
                index, (a, b) = g[f"{kind}_edge_index"][i], (i + shift[0], i + shift[1])
                m = self.messages(f"{name}.edge_mlp.mlps.{k}", index, e, mesh[a], mesh[b])
                totals[b] += self.total(index, m, len(mesh[b]))
                new.append((states, i, e + m))
                k += 1
        for states, i, e in new:
            states[i] = e
        for i in range(levels):
            mesh[i] = mesh[i] + self.mlp(f"{name}.aggr_mlp.mlps.{i}", np.concatenate([mesh[i], totals[i]], -1))


def peer_arrays(kind):
    """Graph arrays as the other package keeps them: lists by level, edges in an order of their own."""
    named = graphs.arrays(graphs.normalised(Mesh(kind, strict=False).build(GRID, (27, 27))))
    rng, lists = np.random.default_rng(1), {}
    for name in [n for n in named if "edge_index" in n]:
        order = rng.permutation(named[name].shape[1])
        features = name.replace("edge_index", "features")
        named[name], named[features] = named[name][:, order], named[features][order]
    for name, array in named.items():
        stem, slash, _ = name.partition("/")
        if slash:
            lists.setdefault(stem, []).append(array)
        else:
            lists[name] = array
    return lists


@pytest.mark.parametrize("name", ["graph_lam", "hi_lam", "hi_lam_parallel"])
def test_same_weights_and_graph_give_the_same_output(name):
    arrays = peer_arrays("rect_multiscale" if name == "graph_lam" else "rect_hierarchical")
    reference, x = Reference(), np.random.default_rng(2).normal(size=(729, C))
    if name == "graph_lam":
        expected = reference.graph_lam(arrays, x)
        config = GraphLAM(width=H, layers=P)
    else:
        expected = reference.hi_lam(arrays, x, parallel=name != "hi_lam")
        config = HiLAM(width=H, layers=P, processor="sequential" if name == "hi_lam" else "parallel")
    graph = import_neural_lam_graph(arrays, nodes=729, scaled=True)
    module = config.build(nnx.Rngs(0), Sizes((27, 27), (0, 0), C, 0, 0, V), graph)
    network, params = functional(module)
    state = {**reference.state, "state_mean": np.zeros(V)}
    loaded = import_neural_lam_weights(params, state)
    call = jax.jit(lambda params, *args: nnx.merge(network.graph, params).on_nodes(graph, *args))
    out = call(loaded, np.asarray(x, np.float32)[:, None], None, np.zeros((1, 0), np.float32))
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(DataError, match="no output_map.2.bias"):
        import_neural_lam_weights(params, {k: v for k, v in state.items() if k != "output_map.2.bias"})
    with pytest.raises(DataError, match="belong to no layer"):
        import_neural_lam_weights(params, {**state, "extra.0.weight": np.zeros((2, 2))})
    with pytest.raises(DataError, match="shape"):
        import_neural_lam_weights(params, {**state, "output_map.2.bias": np.zeros(V + 1)})


# Whole forecasters: a grid of 8 x 11 cells with a frame of 1, two variables of which one hardly varies and one is
# bounded, three forcings of which the open water does not change, grid nodes numbered with y fastest.

GRID_SHAPE, FRAME, LEADS = (8, 11), (1, 1), 3
FORCINGS = ("open_water", "toa_radiation", "sin_hour")
NUMBERS = np.arange(88).reshape(11, 8).T  # of cells (y, x)


@dataclass(frozen=True)
class Given:
    """Data that are there."""

    data: Any

    def load(self):
        return self.data


@pytest.fixture(scope="module")
def weather():
    rng, (h, w) = np.random.default_rng(3), GRID_SHAPE
    state = rng.normal([280.0, 2.0], [5.0, 0.5], (LEADS + 2, h, w, 2)).astype(np.float32)
    forcing = rng.uniform(0, 1, (LEADS + 2, h, w, 3)).astype(np.float32) * [1, 400, 1]
    forcing[..., 0] = forcing[0, ..., 0]
    series = Series(state, forcing.astype(np.float32), np.datetime64("2022-04-01", "h") + 3 * np.arange(LEADS + 2))
    return WeatherData(
        (series,), (series,), (series,), np.zeros((h, w, 1), np.float32), FRAME, ("t_2", "wvint_0"), ("K", "kg m-2"),
        ("temperature", "vapour"), FORCINGS, ("x",), 3.0, x=10.0 * np.arange(w), y=10.0 * np.arange(h),
    )  # fmt: skip


@pytest.fixture(scope="module")
def statistics():
    rng = np.random.default_rng(4)
    return {
        "parameter_mean": np.array([281.0, 1.9]), "parameter_std": np.array([4.0, 0.4]),
        "diff_mean": np.array([0.01, -0.02]), "diff_std": np.array([0.3, 1e-9]),
        "flux_stats": np.array([200.0, 110.0]), "grid_features": rng.normal(size=(88, 2)),
    }  # fmt: skip


def peer_graph(kind, weather):
    """Over the whole grid, with the numbers of the other package."""
    places = np.stack(np.meshgrid(weather.x, weather.y), -1).reshape(-1, 2)
    mesh = Mesh(
        kind, distance=12.0 if "multi" in kind else 15.0, refinement=3 if "multi" in kind else 2, levels=2, strict=False
    )
    named = graphs.arrays(graphs.normalised(mesh.build(places, GRID_SHAPE)))
    order, lists = NUMBERS.ravel(), {}
    named["g2m_edge_index"][0] = order[named["g2m_edge_index"][0]]
    named["m2g_edge_index"][1] = order[named["m2g_edge_index"][1]]
    for name, array in named.items():
        stem, slash, _ = name.partition("/")
        lists.setdefault(stem, []).append(array) if slash else lists.update({name: array})
    return named, lists


def peer_forecast(reference, network, lists, weather, stats):
    """Interior states (L, h, w, 2) of the other package's forecaster, node by node."""
    series, border = weather.test[0], np.ones(GRID_SHAPE, bool)
    border[1:-1, 1:-1] = False
    where = np.argsort(NUMBERS.ravel())  # cells by the number of their node
    mean, std = stats["parameter_mean"], np.maximum(stats["parameter_std"], FLOOR)
    state = ((series.state - mean) / std).reshape(len(series.state), 88, 2)[:, where]
    forcing = series.forcing.reshape(len(state), 88, 3)[:, where].astype(np.float64)
    forcing[..., 1] = (forcing[..., 1] - stats["flux_stats"][0]) / stats["flux_stats"][1]
    border, low = border.ravel()[where, None], (1.5 - mean[1]) / std[1]
    before, now, found = state[0], state[1], []
    for t in range(1, LEADS + 1):
        window = np.stack([forcing[t - 1], forcing[t], forcing[t + 1]], -1)[:, 1:].reshape(88, -1)  # by feature
        x = np.concatenate([now, before, forcing[t][:, :1], window, stats["grid_features"]], -1)
        out = network(lists, x)
        delta = out * np.maximum(stats["diff_std"], FLOOR) + stats["diff_mean"]
        new = now + delta
        inverse = np.log(np.expm1(np.clip(now[:, 1] - low, np.log1p(1e-6), 20)))
        new[:, 1] = low + np.log1p(np.exp(inverse + delta[:, 1]))
        before, now = now, np.where(border, state[t + 1], new)
        found.append((now * std + mean)[NUMBERS][1:-1, 1:-1])
    return np.stack(found)


def ours(model, weather):
    outlook = model.outlook(weather, weather.test[0], [1], LEADS)
    states = np.concatenate([s for _, s in model.forecast(jax.random.key(0), outlook, 1)], 1)
    return states[0, :, 0, 1:-1, 1:-1]


CASES = {
    "graph_lam": ("rect_multiscale", ("m2g",)),
    "hi_lam": ("rect_hierarchical", ("g2m", "up", "down")),
    "hi_lam_parallel": ("rect_hierarchical", ()),
}


@pytest.mark.parametrize("name", CASES)
def test_an_imported_forecaster_gives_the_same_forecast(name, weather, statistics, tmp_path):
    kind, propagate = CASES[name]
    named, lists = peer_graph(kind, weather)
    reference = Reference(propagate, outputs=2)
    network = {"graph_lam": reference.graph_lam, "hi_lam": lambda g, x: reference.hi_lam(g, x, parallel=False),
               "hi_lam_parallel": lambda g, x: reference.hi_lam(g, x, parallel=True)}[name]  # fmt: skip
    expected = peer_forecast(reference, network, lists, weather, statistics)
    write_arrays(tmp_path / "graph.npz", named)
    write_arrays(tmp_path / "stats.npz", statistics)
    weights = {f"forecaster.predictor.{k}": v for k, v in reference.state.items()}
    safetensors.numpy.save_file(weights, tmp_path / "w.safetensors")
    format = NeuralLAM(
        Given(weather), tmp_path / "graph.npz", tmp_path / "stats.npz", propagate or ("none",), rows="xy",
        lower={"wvint_0": 1.5},
    )  # fmt: skip
    model, recipe = format.read(tmp_path / "w.safetensors")
    found, scale = ours(model, weather), np.array([4.0, 0.4])
    np.testing.assert_allclose(found / scale, expected / scale, atol=2e-4)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.5  # the network says something
    # kept, loaded, written, and read again
    save(model, tmp_path / "m", recipe)
    kept = load(tmp_path / "m")
    assert format.write(kept, tmp_path / "back").startswith("weights.safetensors")
    again, _ = NeuralLAM(Given(weather)).read(tmp_path / "back")  # the folder tells all
    np.testing.assert_allclose(ours(again, weather), found, atol=1e-3)


def test_what_a_checkpoint_does_not_tell_is_asked(weather, statistics, tmp_path):
    named, _ = peer_graph("rect_multiscale", weather)
    write_arrays(tmp_path / "graph.npz", named)
    write_arrays(tmp_path / "stats.npz", statistics)
    state = {"grid_embedder.0.weight": np.zeros((4, 13), np.float32)}
    write_arrays(tmp_path / "w.npz", state)
    format = NeuralLAM(Given(weather), tmp_path / "graph.npz", tmp_path / "stats.npz")
    with pytest.raises(UsageError, match="needs --graph"):
        dataclasses.replace(format, graph=None).read(tmp_path / "w.npz")
    with pytest.raises(UsageError, match="does not tell how messages pass: say --propagate none"):
        format.read(tmp_path / "w.npz")
    with pytest.raises(DataError, match="takes 13 inputs, these data give 15: 4 of states, 9 of forcing"):
        dataclasses.replace(format, once=(), propagate=("none",)).read(tmp_path / "w.npz")
    write_arrays(tmp_path / "told.npz", {**state, "g2m_gnn_type": "PropagationNet"})
    with pytest.raises(UsageError, match="--propagate m2g: .* says g2m"):
        dataclasses.replace(format, propagate=("m2g",)).read(tmp_path / "told.npz")
    write_arrays(tmp_path / "still.npz", statistics | {"diff_std": np.array([0.1, 0.0])})
    with pytest.raises(DataError, match="differences of wvint_0 is 0"):
        dataclasses.replace(format, statistics=tmp_path / "still.npz").read(tmp_path / "told.npz")
