"""A graph network as the denoiser of Diffusion-LAM."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit_weather.area import frame_of, interior_of
from genkit_weather.graphs import Graph, Mesh, normalised
from genkit_weather.networks.conditioning import Conditioning, Sizes
from genkit_weather.networks.embedding import Embedding
from genkit_weather.networks.encode_decode import GraphOptions, over_image
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM

ROUNDS = {"edge_mlp", "aggr_mlp", "encoding_grid_mlp"}  # of `InteractionNet` and `EncodeDecode`
SMALL = nnx.initializers.variance_scaling(0.01 / 3, "fan_in", "uniform")  # within 0.1 / sqrt(fan-in): the mean is first


@dataclass(frozen=True)
class GraphDenoiser(GraphOptions):
    """Graph-LAM, or Hi-LAM on a hierarchical mesh, that also sees a noisy target and its level, or a latent variable.

    The level or the latent variable, and the lead time, are embedded; the embedding adds to scale and shift of every
    norm of nodes and messages (conditional layer norm, as in GenCast, arXiv 2312.15796, and FGN, arXiv 2506.10772).
    """

    mesh: Mesh = field(default_factory=lambda: Mesh(cells=3.0))
    """The mesh where no file is given, over cells as far apart in both directions; a distance is in km, or in cells
    where the data have no coordinates."""
    embedding: int = 64
    """width of the embedding"""

    def __post_init__(self) -> None:
        """A denoiser has one output and a mesh in the plane."""
        if self.output_std or (self.graph is None and self.mesh.kind.startswith("tri")):
            raise UsageError("a graph denoiser has a rect mesh over cells, or a graph file, and predicts no std")

    def build(self, rngs: nnx.Rngs, sizes: Sizes, graph=None) -> GraphDenoiserModule:
        """Module F(x (n, h, w, V), c_noise (n,), Conditioning) -> (n, h, w, V); x and c_noise None with a latent.

        Of a `Graph` that is given, from a file, only the sizes count here; the conditioning has it. It has no
        annotation: a network is chosen by those, and other denoisers are built of sizes alone.
        """
        return GraphDenoiserModule(self, sizes, rngs, graph)


class Fixed:
    """A graph that belongs to a network and is none of its parameters; equal graphs count as one."""

    def __init__(self, config: GraphDenoiser, sizes: Sizes):
        spacing = sizes.spacing or 1.0
        self.key = (config.mesh, sizes.grid, sizes.frame, spacing)
        rows, columns = (np.arange(size, dtype=float) for size in sizes.grid)
        places = spacing * np.stack(np.meshgrid(columns, rows), -1)
        inside = interior_of(places, sizes.frame).reshape(-1, 2)
        self.graph = normalised(config.mesh.build(inside, sizes.grid, frame_of(places, sizes.frame), spacing))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self.key == other.key


class GraphDenoiserModule(nnx.Module):
    """See `GraphDenoiser`."""

    def __init__(self, config: GraphDenoiser, sizes: Sizes, rngs: nnx.Rngs, graph: Graph | None = None):
        self.fixed = Fixed(config, sizes) if graph is None else None
        known: Any = graph if self.fixed is None else self.fixed.graph
        network = HiLAM if known.levels > 1 else GraphLAM
        self.embedding = Embedding(config.embedding, sizes, dtype=config.numbers, rngs=rngs)
        self.network = config.like(network).build(rngs, replace(sizes, interior=sizes.cells), known)
        added = sum(leaf.shape[-1] for _, leaf in told(nnx.state(self.network)))
        self.norms = nnx.Linear(config.embedding, added, use_bias=False, kernel_init=SMALL, rngs=rngs)

    def __call__(self, x: jax.Array, c_noise: jax.Array, cond: Conditioning) -> jax.Array:
        """`x` (n, h, w, V) noisy target times c_in, `c_noise` () or (n,) -> (n, h, w, V)."""
        seen = cond if x is None else replace(cond, interior=jnp.concatenate([x, cond.interior], -1))
        network = modulated(self.network, self.norms(self.embedding(c_noise, cond).astype(jnp.float32)))
        return over_image(network.on_nodes, cond.graph if self.fixed is None else self.fixed.graph, seen)


def told(parameters: nnx.State) -> list[tuple[tuple[Any, ...], Any]]:
    """(path, parameter) of the norms of nodes and messages; what depends on the graph alone keeps its own."""
    return [(path, leaf) for path, leaf in nnx.to_flat_state(parameters) if "norm" in path and ROUNDS & set(path)]


def modulated(network: Any, added: jax.Array) -> Any:
    """The network with `added` (n or 1, parameters of its norms) to them: norms of each item of the batch."""
    graph, parameters = nnx.split(network)
    changed, first = dict(nnx.to_flat_state(parameters)), 0
    for path, leaf in told(parameters):
        changed[path] = leaf.replace(leaf[...] + added[:, first : first + leaf.shape[-1]])
        first += leaf.shape[-1]
    return nnx.merge(graph, nnx.from_flat_state(changed))
