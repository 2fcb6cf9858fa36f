"""Graph-EFM: a latent variable on the mesh, so that one pass of a network draws one member of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from genkit_weather.graphs import Edges, Graph, InteractionNet, Mesh, Perceptron
from genkit_weather.networks.conditioning import Sizes
from genkit_weather.networks.encode_decode import GraphOptions, check_embedders, embed_fields, layer_options
from genkit_weather.networks.hi_lam import MeshEmbedders

MIN_STD = 1e-4


@dataclass(frozen=True)
class GraphEFM(GraphOptions):
    """Graph-EFM (Oskarsson et al. 2024, arXiv 2406.04759): prior, posterior and decoder on one mesh.

    The latent variable lives on the top level of a hierarchical mesh; on a flat or multi-scale one, on all nodes, it is
    the variant called Graph-EFM (ms).
    """

    mesh: Mesh = field(default_factory=lambda: Mesh("rect_hierarchical"))
    """The mesh, where no file is given."""
    layers: int = 1
    """interaction networks within each level of the decoder"""
    prior_layers: int = 1
    """the same in the prior"""
    posterior_layers: int = 1
    """the same in the posterior"""
    latent: int | None = None
    """dimensions of the latent variable at a node; none: H"""
    prior: Literal["learned", "constant"] = "learned"
    """mean by a network and std 1, or a standard normal"""
    encoders: Literal["propagate", "interact"] = "propagate"
    """networks from the grid and up the levels in prior and posterior"""
    output_std: bool = True
    """predict a standard deviation beside the mean"""

    def build(self, rngs: nnx.Rngs, sizes: Sizes, graph: Graph) -> GraphEFMModule:
        """A module with `prior`, `posterior` and `decode`."""
        return GraphEFMModule(self, sizes, graph, rngs)


class LatentEncoder(nnx.Module):
    """From grid states (N, n, H) to the parameters of a normal variable at the top mesh nodes (M, n, outputs)."""

    def __init__(self, config: GraphEFM, graph: Graph, layers: int, outputs: int, rngs: nnx.Rngs):
        width, options = config.width, layer_options(config, rngs)
        upward = {**options, "propagate": config.encoders == "propagate"}
        self.g2m_gnn = InteractionNet(width, **upward)
        self.mesh_up_gnns = nnx.List([InteractionNet(width, **upward) for _ in graph.up])
        self.intra_level_gnns = nnx.List([_nets(layers, width, options) for _ in graph.mesh])
        self.latent_map = Perceptron(width, width, outputs, norm=False, **options)

    def __call__(self, graph: Graph, static: dict[str, Any], grid: jax.Array) -> jax.Array:
        """Grid to mesh, then level by level to the top."""
        n = grid.shape[1]
        h = self.g2m_gnn(graph.g2m, static["g2m"], grid, _wide(static["nodes"][0], n))[0]
        h = _within(self.intra_level_gnns[0], graph.m2m[0], static["same"][0], h)[0]
        for low, net in enumerate(self.mesh_up_gnns):
            h = net(graph.up[low], static["up"][low], h, _wide(static["nodes"][low + 1], n))[0]
            h = _within(self.intra_level_gnns[low + 1], graph.m2m[low + 1], static["same"][low + 1], h)[0]
        return self.latent_map(h).astype(jnp.float32)


class LatentDecoder(nnx.Module):
    """From grid states and a latent variable to outputs at the grid nodes that are forecast.

    Upward edges interact, so that the latent variable, as the receiver at the top, is not overwritten; edges down and
    to the grid propagate, so that it is not ignored when training begins.
    """

    def __init__(self, config: GraphEFM, graph: Graph, outputs: int, rngs: nnx.Rngs):
        width, more = config.width, layer_options(config, rngs)
        self.latent_embedder = Perceptron(config.latent or width, width, **more)
        self.grid_update_mlp = Perceptron(width, width, **more)
        self.g2m_gnn = InteractionNet(width, **more)
        self.mesh_up_gnns = nnx.List([InteractionNet(width, **more) for _ in graph.up])
        self.mesh_down_gnns = nnx.List([InteractionNet(width, propagate=True, **more) for _ in graph.down])
        self.intra_up_gnns = nnx.List([_nets(config.layers, width, more) for _ in graph.mesh])
        self.intra_down_gnns = nnx.List([_nets(config.layers, width, more) for _ in graph.down])
        self.m2g_gnn = InteractionNet(width, propagate=True, **more)
        self.output_map = Perceptron(width, width, outputs, norm=False, **more)

    def __call__(self, graph: Graph, static: dict[str, Any], inside: jax.Array, grid: jax.Array, z: jax.Array):
        """`inside` (N, n, H) of `grid` (N + N_b, n, H); z (M_top, n, d_z) -> (N, n, outputs)."""
        n, top = grid.shape[1], graph.levels - 1
        z = self.latent_embedder(z.astype(grid.dtype))
        r = inside + self.grid_update_mlp(inside)
        receivers = [*(_wide(h, n) for h in static["nodes"][:top]), z]
        h = self.g2m_gnn(graph.g2m, static["g2m"], grid, receivers[0])[0]
        nodes, edges = [], []
        for level, nets in enumerate(self.intra_up_gnns):
            if level:
                h = self.mesh_up_gnns[level - 1](graph.up[level - 1], static["up"][level - 1], h, receivers[level])[0]
            h, e = _within(nets, graph.m2m[level], static["same"][level], h)
            nodes.append(h)
            edges.append(e)
        for low in reversed(range(top)):
            h = self.mesh_down_gnns[low](graph.down[low], static["down"][low], h, nodes[low])[0]
            h = _within(self.intra_down_gnns[low], graph.m2m[low], edges[low], h)[0]
        r = self.m2g_gnn(graph.m2g, static["m2g"], h, r)[0]
        return self.output_map(r).astype(jnp.float32)


class GraphEFMModule(nnx.Module):
    """See `GraphEFM`. Fields are (N, n, c) inside and (N_b, n, c) in the boundary, nodes first; scalars (n, g)."""

    def __init__(self, config: GraphEFM, sizes: Sizes, graph: Graph, rngs: nnx.Rngs):
        self.dtype, self.learned = config.numbers, config.prior == "learned"
        self.latent, self.outputs = config.latent or config.width, sizes.outputs
        self.top = len(graph.mesh[-1])
        width, options = config.width, layer_options(config, rngs)
        inputs, outside = sizes.interior + sizes.scalars, sizes.boundary + sizes.scalars
        self.grid_prev_embedder = Perceptron(inputs, width, **options)
        self.grid_current_embedder = Perceptron(inputs + sizes.outputs, width, **options)
        separate = check_embedders(config, sizes, graph)
        self.boundary_embedder = Perceptron(outside, width, **options) if separate else None
        features = graph.g2m.features.shape[1]
        self.g2m_embedder = Perceptron(features, width, **options)
        self.m2g_embedder = Perceptron(features, width, **options)
        self.mesh = MeshEmbedders(graph, width, width, **options)
        self.prior_model = (
            LatentEncoder(config, graph, config.prior_layers, self.latent, rngs) if self.learned else None
        )
        self.posterior_model = LatentEncoder(config, graph, config.posterior_layers, 2 * self.latent, rngs)
        self.decoder = LatentDecoder(config, graph, sizes.outputs * (2 if config.output_std else 1), rngs)

    def static(self, graph: Graph) -> dict[str, Any]:
        """All that depends on the graph alone, shared by prior, posterior and decoder."""
        found = self.mesh(graph, self.dtype)
        nodes = [found.pop("mesh_nodes"), *found.pop("coarser")]
        grid = {
            "g2m": self.g2m_embedder(jnp.asarray(graph.g2m.features, self.dtype))[:, None],
            "m2g": self.m2g_embedder(jnp.asarray(graph.m2g.features, self.dtype))[:, None],
        }
        return {**found, **grid, "nodes": nodes}

    def embed(self, inside: Any, outside: Any, scalars: Any, truth: Any = None) -> tuple[jax.Array, jax.Array]:
        """States of the nodes that are forecast, and of all grid nodes; `truth` (N, n, V) for the posterior."""
        inside, scalars = (jnp.asarray(x, self.dtype) for x in (inside, scalars))
        mlp = self.grid_prev_embedder
        if truth is not None:
            inside, mlp = jnp.concatenate([truth.astype(self.dtype), inside], -1), self.grid_current_embedder
        h = embed_fields(mlp, inside, scalars)
        if not outside.shape[0]:
            return h, h
        other = self.grid_prev_embedder if self.boundary_embedder is None else self.boundary_embedder
        return h, jnp.concatenate([h, embed_fields(other, jnp.asarray(outside, self.dtype), scalars)])

    def __call__(self, graph: Graph, fields: Any, noise: Any, truth: Any = None, static: Any = None) -> Any:
        """Draw z = mean + std noise and decode it: (outputs (N, n, .), KL(q|p) (n,)).

        `fields` are (inside, outside, scalars). With `truth` z is of the posterior, else of the prior and KL is None.
        The noise (M_top, n, d_z) 0 gives the mean.
        """
        static = self.static(graph) if static is None else static
        inside, grid = self.embed(*fields)
        mean = jnp.zeros(noise.shape) if self.prior_model is None else self.prior_model(graph, static, grid)
        std, divergence = jnp.ones(noise.shape), None
        if truth is not None:
            at, raw = jnp.split(self.posterior_model(graph, static, self.embed(*fields, truth=truth)[1]), 2, -1)
            std = MIN_STD + jax.nn.softplus(raw)
            divergence = kl(at, std, mean).sum((0, 2))
            mean = at
        return self.decoder(graph, static, inside, grid, mean + std * noise), divergence


def kl(mean: Any, std: Any, prior_mean: Any, prior_std: Any = 1.0) -> jax.Array:
    """KL(N(mean, std^2) | N(prior_mean, prior_std^2)) of each entry."""
    ratio = std / prior_std
    return (ratio**2 + ((mean - prior_mean) / prior_std) ** 2 - 1) / 2 - jnp.log(ratio)


def _nets(count: int, width: int, options: dict[str, Any]) -> nnx.List:
    return nnx.List([InteractionNet(width, **options) for _ in range(count)])


def _within(nets: Any, edges: Edges, e: jax.Array, h: jax.Array) -> tuple[jax.Array, jax.Array]:
    for net in nets:
        h, e = net(edges, e, h, h)
    return h, e


def _wide(h: jax.Array, n: int) -> jax.Array:
    return jnp.broadcast_to(h, (h.shape[0], n, h.shape[2]))
