"""Hi-LAM: messages up and down a hierarchy of mesh levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit_weather.graphs import Edges, Graph, InteractionNet, Mesh, ParallelInteractionNet, Perceptron
from genkit_weather.networks.conditioning import Sizes
from genkit_weather.networks.encode_decode import EncodeDecode, GraphOptions, layer_options


@dataclass(frozen=True)
class HiLAM(GraphOptions):
    """Hi-LAM (Oskarsson et al. 2023, arXiv 2309.17370), its parallel variant, and Graph-FM (arXiv 2406.04759)."""

    mesh: Mesh = field(default_factory=lambda: Mesh("rect_hierarchical"))
    """The mesh, where no file is given."""
    processor: Literal["sequential", "parallel"] = "sequential"
    """sweeps down and up the levels, or messages on all levels at once (Hi-LAM-Parallel)"""
    propagate: tuple[Literal["g2m", "m2g", "up", "down"], ...] = ()
    """edges on which propagation networks pass messages, in place of interaction networks: all of them in Graph-FM;
    the parallel processor itself has none"""

    def build(self, rngs: nnx.Rngs, sizes: Sizes, graph: Graph) -> HierarchicalModule:
        """Module (graph, Conditioning) -> (n, h, w, V); the graph's values may change, its sizes not."""
        kind = HiLAMModule if self.processor == "sequential" else HiLAMParallelModule
        return kind(self, sizes, graph, rngs)


class MeshEmbedders(nnx.Module):
    """Embedders of the nodes and edges of a hierarchy, one for each level and kind of edge."""

    def __init__(self, graph: Graph, width: int, finest: int, **options: Any):
        def several(edges: tuple[Edges, ...]) -> nnx.List:
            return nnx.List([Perceptron(e.features.shape[1], width, **options) for e in edges])

        widths = [finest, *[width] * (graph.levels - 1)]
        self.nodes = nnx.List([Perceptron(m.shape[1], w, **options) for m, w in zip(graph.mesh, widths, strict=True)])
        self.same, self.up, self.down = several(graph.m2m), several(graph.up), several(graph.down)

    def __call__(self, graph: Graph, dtype: Any) -> dict[str, Any]:
        """Embedded features, lists by level, of shape (., 1, H)."""

        def each(mlps: nnx.List, tables: Any) -> list[jax.Array]:
            return [mlp(jnp.asarray(table, dtype))[:, None] for mlp, table in zip(mlps, tables, strict=True)]

        edges = {
            name: each(mlps, [e.features for e in group])
            for name, mlps, group in (
                ("same", self.same, graph.m2m),
                ("up", self.up, graph.up),
                ("down", self.down, graph.down),
            )
        }
        nodes = each(self.nodes, graph.mesh)
        return {"mesh_nodes": nodes[0], "coarser": nodes[1:], **edges}


class HierarchicalModule(EncodeDecode):
    """What the sequential and the parallel variant share: embedders, the first way up and the last way down."""

    def __init__(self, config: HiLAM, sizes: Sizes, graph: Graph, rngs: nnx.Rngs):
        if graph.levels < 2:
            raise UsageError(
                "Hi-LAM needs a mesh of two levels or more; choose a hierarchical mesh, or weather.graph_lam"
            )
        super().__init__(config, sizes, graph, rngs, config.propagate)
        options = layer_options(config, rngs)
        self.mesh = MeshEmbedders(graph, config.width, config.grid_width or config.width, **options)

        def nets(edges: str) -> nnx.List:
            each, passes = range(graph.levels - 1), edges in config.propagate
            return nnx.List([InteractionNet(config.width, propagate=passes, **options) for _ in each])

        self.mesh_init_gnns, self.mesh_read_gnns = nets("up"), nets("down")

    def sweep(self, graph: Graph, nodes: list, edges: dict[str, list]) -> tuple[list, dict[str, list]]:
        """The processor: new states of all nodes and edges."""
        raise NotImplementedError

    def mesh_static(self, graph: Graph) -> dict[str, Any]:
        """Embedded nodes and edges of all levels."""
        return self.mesh(graph, self.dtype)

    def process(self, graph: Graph, static: Any, h: jax.Array) -> jax.Array:
        """Up to the top, the processor, and down again."""
        n = h.shape[1]
        nodes = [h, *(jnp.broadcast_to(c, (c.shape[0], n, c.shape[2])) for c in static["coarser"])]
        edges = {name: list(static[name]) for name in ("same", "up", "down")}
        for low, net in enumerate(self.mesh_init_gnns):
            nodes[low + 1], edges["up"][low] = net(graph.up[low], edges["up"][low], nodes[low], nodes[low + 1])
        nodes, edges = self.sweep(graph, nodes, edges)
        for low, net in reversed(list(enumerate(self.mesh_read_gnns))):
            projected = net.project(edges["down"][low])
            nodes[low] = net.receive(graph.down[low], projected, nodes[low + 1], nodes[low])
        return nodes[0]


class HiLAMModule(HierarchicalModule):
    """See `HiLAM`: P times down and up."""

    def __init__(self, config: HiLAM, sizes: Sizes, graph: Graph, rngs: nnx.Rngs):
        super().__init__(config, sizes, graph, rngs)
        options = layer_options(config, rngs)

        def nets(count: int, **more: Any) -> nnx.List:
            one = lambda: nnx.List([InteractionNet(config.width, **options, **more) for _ in range(count)])  # noqa: E731
            return nnx.List([one() for _ in range(config.layers)])

        between = graph.levels - 1
        self.mesh_down_gnns = nets(between, propagate="down" in config.propagate)
        self.mesh_down_same_gnns = nets(graph.levels)
        self.mesh_up_gnns = nets(between, propagate="up" in config.propagate)
        self.mesh_up_same_gnns = nets(graph.levels)

    def sweep(self, graph: Graph, nodes: list, edges: dict[str, list]) -> tuple[list, dict[str, list]]:
        """Down from the top, then up, with messages within each level on arrival."""
        same, up, down = edges["same"], edges["up"], edges["down"]

        def within(level: int, net: InteractionNet) -> None:
            nodes[level], same[level] = net(graph.m2m[level], same[level], nodes[level], nodes[level])

        top, order = graph.levels - 1, range(graph.levels - 1)
        nets = self.mesh_down_gnns, self.mesh_down_same_gnns, self.mesh_up_gnns, self.mesh_up_same_gnns
        for falls, falls_within, rises, rises_within in zip(*nets, strict=True):
            within(top, falls_within[top])
            for low in reversed(order):
                nodes[low], down[low] = falls[low](graph.down[low], down[low], nodes[low + 1], nodes[low])
                within(low, falls_within[low])
            within(0, rises_within[0])
            for low in order:
                nodes[low + 1], up[low] = rises[low](graph.up[low], up[low], nodes[low], nodes[low + 1])
                within(low + 1, rises_within[low + 1])
        return nodes, edges


class HiLAMParallelModule(HierarchicalModule):
    """See `HiLAM`: P rounds on all edges at once."""

    def __init__(self, config: HiLAM, sizes: Sizes, graph: Graph, rngs: nnx.Rngs):
        super().__init__(config, sizes, graph, rngs)
        levels, between = range(graph.levels), range(graph.levels - 1)
        links = (*((a, a) for a in levels), *((a, a + 1) for a in between), *((a + 1, a) for a in between))
        self.processor = nnx.List(
            [
                ParallelInteractionNet(config.width, links, graph.levels, **layer_options(config, rngs))
                for _ in range(config.layers)
            ]
        )

    def sweep(self, graph: Graph, nodes: list, edges: dict[str, list]) -> tuple[list, dict[str, list]]:
        """Messages on all edges at once."""
        sets = (*graph.m2m, *graph.up, *graph.down)
        states = [*edges["same"], *edges["up"], *edges["down"]]
        for layer in self.processor:
            nodes, states = layer(sets, states, nodes)
        n = graph.levels
        return nodes, {"same": states[:n], "up": states[n : 2 * n - 1], "down": states[2 * n - 1 :]}
