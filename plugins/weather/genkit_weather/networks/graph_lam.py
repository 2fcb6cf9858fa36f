"""Graph-LAM: messages on one mesh level, with edges of one or of several lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
from flax import nnx

from genkit.errors import UsageError
from genkit_weather.graphs import Graph, InteractionNet, Perceptron
from genkit_weather.networks.conditioning import Sizes
from genkit_weather.networks.encode_decode import EncodeDecode, GraphOptions, layer_options


@dataclass(frozen=True)
class GraphLAM(GraphOptions):
    """Graph-LAM (Oskarsson et al. 2023, arXiv 2309.17370): a flat or multi-scale mesh, as Keisler's and GraphCast's."""

    propagate: tuple[Literal["g2m", "m2g"], ...] = ()
    """edges on which propagation networks pass messages, in place of interaction networks"""

    def build(self, rngs: nnx.Rngs, sizes: Sizes, graph: Graph) -> GraphLAMModule:
        """Module (graph, Conditioning) -> (n, h, w, V); the graph's values may change, its sizes not."""
        return GraphLAMModule(self, sizes, graph, rngs)


class GraphLAMModule(EncodeDecode):
    """See `GraphLAM`."""

    def __init__(self, config: GraphLAM, sizes: Sizes, graph: Graph, rngs: nnx.Rngs):
        if graph.levels > 1:
            raise UsageError(
                f"Graph-LAM needs a flat or multiscale mesh, not {graph.levels} levels; choose weather.hi_lam"
            )
        super().__init__(config, sizes, graph, rngs, config.propagate)
        options = layer_options(config, rngs)
        self.mesh_embedder = Perceptron(graph.mesh[0].shape[1], config.grid_width or config.width, **options)
        self.m2m_embedder = Perceptron(graph.m2m[0].features.shape[1], config.width, **options)
        self.processor = nnx.List([InteractionNet(config.width, **options) for _ in range(config.layers)])

    def mesh_static(self, graph: Graph) -> dict[str, Any]:
        """Embedded nodes and edges."""
        nodes = self.mesh_embedder(self.cast(graph.mesh[0]))[:, None]
        return {"mesh_nodes": nodes, "m2m": self.m2m_embedder(self.cast(graph.m2m[0].features))[:, None]}

    def process(self, graph: Graph, static: Any, h: jax.Array) -> jax.Array:
        """P interaction networks."""
        e = static["m2m"]
        for layer in self.processor:
            h, e = layer(graph.m2m[0], e, h, h)
        return h
