"""Networks with the weights of Neural-LAM against a slow loop over single edges."""

import numpy as np
import pytest
from flax import nnx

from genkit.errors import DataError
from genkit.nn import functional
from genkit_weather import graphs
from genkit_weather.graphs import Mesh
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM
from genkit_weather.networks.unet import Sizes
from genkit_weather.neural_lam import import_neural_lam_graph, import_neural_lam_weights

H, P, V, C = 8, 2, 3, 11
GRID = np.stack(np.meshgrid(np.arange(27.0), np.arange(27.0)), -1).reshape(-1, 2)


class Reference:
    """Neural-LAM as loops in float64, by the names of its state_dict; the weights are drawn as they are asked for."""

    def __init__(self):
        self.state, self.rng = {}, np.random.default_rng(0)

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
        a = self.total(index, m, len(receive))
        return receive + self.mlp(f"{name}.aggr_mlp", np.concatenate([receive, a], -1)), e + m

    def encode(self, g, x, mesh):
        h = self.mlp("grid_embedder", x)
        e = self.mlp("g2m_embedder", g["g2m_features"])
        mesh = self.net("g2m_gnn", g["g2m_edge_index"], e, h, mesh)[0]
        return h + self.mlp("encoding_grid_mlp", h), mesh

    def decode(self, g, h, mesh):
        e = self.mlp("m2g_embedder", g["m2g_features"])
        h = self.net("m2g_gnn", g["m2g_edge_index"], e, mesh, h)[0]
        return self.mlp("output_map", h, V, norm=False)

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
    merged = nnx.merge(network.graph, loaded)
    out = merged.on_nodes(graph, np.asarray(x, np.float32)[:, None], None, np.zeros((1, 0), np.float32))
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(DataError, match="no output_map.2.bias"):
        import_neural_lam_weights(params, {k: v for k, v in state.items() if k != "output_map.2.bias"})
    with pytest.raises(DataError, match="belong to no layer"):
        import_neural_lam_weights(params, {**state, "extra.0.weight": np.zeros((2, 2))})
    with pytest.raises(DataError, match="shape"):
        import_neural_lam_weights(params, {**state, "output_map.2.bias": np.zeros(V + 1)})
