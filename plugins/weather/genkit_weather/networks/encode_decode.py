"""What all graph networks share: embed the grid, send it to the mesh, process there, send it back, read out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

import genkit.nn as gnn
from genkit.errors import UsageError
from genkit_weather.data import WeatherData
from genkit_weather.graphs import Graph, InteractionNet, Mesh, Perceptron, normalised
from genkit_weather.networks.conditioning import Conditioning, Sizes

N = TypeVar("N", bound="GraphOptions")


@dataclass(frozen=True)
class GraphOptions(gnn.Arithmetic):
    """Options of all graph networks. With `remat` only what goes into each round of messages is kept."""

    mesh: Mesh = field(default_factory=Mesh)
    """The mesh, where no file is given."""
    graph: Path | None = None
    """File or folder of a graph, as `genkit weather-graph build` writes it, in place of `mesh`."""
    width: int = 64
    """features H of nodes and edges"""
    layers: int = 4
    """rounds P of messages on the mesh"""
    hidden_layers: int = 1
    """hidden layers of every perceptron"""
    grid_width: int | None = None
    """features of grid nodes and of the edges to and from them, where they are not H"""
    shared_embedder: bool = False
    """one embedder for the interior and the frame, which must then be told the same fields"""
    output_std: bool = False
    """predict a standard deviation beside the mean"""

    def like(self, network: type[N], **changes: Any) -> N:
        """Another network with these options."""
        return network(**{f.name: getattr(self, f.name) for f in fields(GraphOptions)} | changes)

    def over(self, data: WeatherData) -> Graph:
        """The graph of a data set, normalised."""
        from genkit_weather.graphs import fitting, load

        return normalised(self.mesh.over(data) if self.graph is None else fitting(load(self.graph), data))


class EncodeDecode(nnx.Module):
    """Encode, process, decode; a subclass says what happens on the mesh.

    Attributes are named as in Neural-LAM, so that its weights can be read.
    """

    def __init__(self, config: GraphOptions, sizes: Sizes, graph: Graph, rngs: nnx.Rngs, propagate: Sequence[str] = ()):
        self.dtype = config.numbers
        self.width, self.outputs, self.deviation = config.width, sizes.outputs, config.output_std
        grid = config.grid_width or config.width
        options = layer_options(config, rngs)
        inputs, outside = sizes.interior + sizes.scalars, sizes.boundary + sizes.scalars
        self.grid_embedder = Perceptron(inputs, grid, **options)
        separate = check_embedders(config, sizes, graph)
        self.boundary_embedder = Perceptron(outside, grid, **options) if separate else None
        features = graph.g2m.features.shape[1]
        self.g2m_embedder = Perceptron(features, grid, **options)
        self.m2g_embedder = Perceptron(features, grid, **options)
        self.g2m_gnn = InteractionNet(grid, propagate="g2m" in propagate, **options)
        self.encoding_grid_mlp = Perceptron(grid, grid, **options)
        self.m2g_gnn = InteractionNet(grid, propagate="m2g" in propagate, **options)
        both = sizes.outputs * (2 if config.output_std else 1)
        self.output_map = Perceptron(grid, grid, both, norm=False, **options)
        linear = {"dtype": self.dtype, "rngs": rngs}
        self.mesh_in = gnn.linear(grid, config.width, **linear) if grid != config.width else None
        self.mesh_out = gnn.linear(config.width, grid, **linear) if grid != config.width else None

    # for subclasses

    def mesh_static(self, graph: Graph) -> Any:
        """Embedded features of the mesh; `mesh_nodes` of it are those of the finest nodes, (M, 1, grid width)."""
        raise NotImplementedError

    def process(self, graph: Graph, static: Any, h: jax.Array) -> jax.Array:
        """New states of the finest mesh nodes (M, n, H)."""
        raise NotImplementedError

    # the whole

    def static(self, graph: Graph) -> dict[str, Any]:
        """All that depends on the graph alone: computed once for a rollout, not at each step of it."""
        g2m = self.g2m_embedder(self.cast(graph.g2m.features))
        m2g = self.m2g_embedder(self.cast(graph.m2g.features))
        edges = {"g2m": self.g2m_gnn.project(g2m)[:, None], "m2g": self.m2g_gnn.project(m2g)[:, None]}
        return {**edges, **self.mesh_static(graph)}

    def cast(self, x: Any) -> jax.Array:
        """In the type of the arithmetic."""
        return jnp.asarray(x, self.dtype)

    def embed(self, inside: jax.Array, outside: jax.Array | None, scalars: jax.Array) -> tuple[jax.Array, jax.Array]:
        """States of the grid nodes that are forecast, (N, n, H), and of all grid nodes, those of the boundary last."""
        h = embed_fields(self.grid_embedder, inside, scalars)
        if outside is None or not outside.shape[0]:
            return h, h
        mlp = self.grid_embedder if self.boundary_embedder is None else self.boundary_embedder
        return h, jnp.concatenate([h, embed_fields(mlp, outside, scalars)])

    def on_nodes(
        self, graph: Graph, inside: jax.Array, outside: jax.Array | None, scalars: jax.Array, static: Any = None
    ) -> jax.Array:
        """Fields of the nodes, (N, n, c) and (N_b, n, c), and scalars (n, g) -> (N, n, outputs), float32."""
        static = self.static(graph) if static is None else static
        h, everywhere = self.embed(self.cast(inside), outside, self.cast(scalars))
        first = static["mesh_nodes"]
        mesh = jnp.broadcast_to(first, (first.shape[0], h.shape[1], first.shape[2]))
        mesh = self.g2m_gnn.receive(graph.g2m, static["g2m"], everywhere, mesh)
        h = h + self.encoding_grid_mlp(h)
        if self.mesh_in is not None:
            mesh = self.mesh_in(jax.nn.silu(mesh))
        mesh = self.process(graph, static, mesh)
        if self.mesh_out is not None:
            mesh = self.mesh_out(jax.nn.silu(mesh))
        h = self.m2g_gnn.receive(graph.m2g, static["m2g"], mesh, h)
        return self.output_map(h).astype(jnp.float32)

    def __call__(self, graph: Graph, cond: Conditioning, static: Any = None) -> jax.Array:
        """(n, h, w, V), or (n, h, w, 2 V) with raw standard deviations after the means."""
        return over_image(self.on_nodes, graph, cond, static)


def check_embedders(config: GraphOptions, sizes: Sizes, graph: Graph) -> bool:
    """Whether the boundary has an embedder of its own; refuses a shared one where the fields differ in number."""
    if graph.boundary and config.shared_embedder and sizes.boundary != sizes.interior:
        raise UsageError(
            f"a shared_embedder needs the same fields in the interior ({sizes.interior}) and in the frame "
            f"({sizes.boundary}); choose a formulation without future, or separate embedders"
        )
    return bool(graph.boundary) and not config.shared_embedder


def layer_options(config: GraphOptions, rngs: nnx.Rngs) -> Any:
    """What all perceptrons of a network have in common."""
    return {"hidden_layers": config.hidden_layers, "arithmetic": config, "rngs": rngs}


def over_image(on_nodes: Any, graph: Graph, cond: Conditioning, *rest: Any) -> jax.Array:
    """`on_nodes(graph, inside, outside, scalars, ...)`, nodes first, of conditioning on an image: (n, h, w, ...)."""
    n, h, w, _ = cond.interior.shape
    inside = jnp.moveaxis(cond.interior.reshape(n, h * w, -1), 0, 1)
    out = on_nodes(graph, inside, jnp.moveaxis(cond.frame, 0, 1), cond.scalars, *rest)
    return jnp.moveaxis(out, 0, 1).reshape(n, h, w, -1)


def embed_fields(mlp: Perceptron, fields: jax.Array, scalars: jax.Array) -> jax.Array:
    """The perceptron of [fields, scalars] without repeating the scalars at each node."""
    first = mlp.part(fields, 0) + mlp.bias(fields.dtype)
    return mlp.after_first(first + mlp.part(scalars, fields.shape[-1]) if scalars.shape[-1] else first)
