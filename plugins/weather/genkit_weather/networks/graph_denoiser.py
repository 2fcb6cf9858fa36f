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


@dataclass(frozen=True)
class GraphDenoiser(GraphOptions):
    """Graph-LAM, or Hi-LAM on a hierarchical mesh, that also sees a noisy target and its level, or a latent variable.

    The level or the latent variable, and the lead time, are embedded and given to every grid node, as forcing that is
    the same everywhere is.
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
        width = config.embedding
        inputs = {"interior": sizes.cells, "scalars": sizes.scalars + width}
        network = HiLAM if known.levels > 1 else GraphLAM
        self.embedding = Embedding(width, sizes, dtype=config.numbers, rngs=rngs)
        self.network = config.like(network).build(rngs, replace(sizes, **inputs), known)

    def __call__(self, x: jax.Array, c_noise: jax.Array, cond: Conditioning) -> jax.Array:
        """`x` (n, h, w, V) noisy target times c_in, `c_noise` () or (n,) -> (n, h, w, V)."""
        n = cond.interior.shape[0]
        emb = self.embedding(c_noise, cond)
        emb = jnp.broadcast_to(emb, (n, emb.shape[-1]))
        seen = replace(
            cond,
            interior=cond.interior if x is None else jnp.concatenate([x, cond.interior], -1),
            scalars=jnp.concatenate([cond.scalars, emb.astype(cond.scalars.dtype)], -1),
        )
        return over_image(self.network.on_nodes, cond.graph if self.fixed is None else self.fixed.graph, seen)
