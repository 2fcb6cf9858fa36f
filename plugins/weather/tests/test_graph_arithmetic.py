"""Graph networks in bfloat16, with float32 sums and norms, and what their rounds of messages keep for the gradient."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from genkit.nn import shapes_of
from genkit.testing import check_network
from genkit_weather.area.frame import frame_of, interior_of
from genkit_weather.graphs import Mesh, normalised
from genkit_weather.networks import Conditioning, GraphDenoiser, GraphEFM, GraphLAM, HiLAM, Sizes

N, SIZES = 2, Sizes((8, 8), (1, 1), interior=3, boundary=2, scalars=1, outputs=2)
PLACES = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1)
INSIDE, OUTSIDE = (of(PLACES, (1, 1)).reshape(-1, 2) for of in (interior_of, frame_of))
FLAT, LEVELS = Mesh("rect_flat", distance=3.0), Mesh("rect_hierarchical", distance=1.5, refinement=2)
# Rounding is about as large at any width, but where a norm takes few numbers.
SMALL: Any = {"width": 16, "layers": 1, "hidden_layers": 0}


def graph_of(mesh):
    return normalised(mesh.build(INSIDE, (6, 6), OUTSIDE))


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


CONDITIONS = Conditioning(normal(N, 6, 6, 3), normal(N, len(OUTSIDE), 2), normal(N, 1))


@pytest.mark.parametrize(
    "network, mesh",
    [
        (GraphLAM(width=16, layers=1, grid_width=12, propagate=("g2m",)), FLAT),
        (HiLAM(**SMALL), LEVELS),
        (HiLAM(**SMALL, processor="parallel"), LEVELS),
    ],
    ids=["graph_lam", "hi_lam", "hi_lam_parallel"],
)
def test_forecasters(network, mesh):
    graph = graph_of(mesh)
    check_network(network, (SIZES, shapes_of(graph)), graph, CONDITIONS)


def test_graph_efm():
    graph = graph_of(FLAT)
    fields = normal(36, N, 3), normal(len(OUTSIDE), N, 2), normal(N, 1)
    noise, truth = normal(len(graph.mesh[0]), N, 16), normal(36, N, 2)
    check_network(GraphEFM(**SMALL), (SIZES, shapes_of(graph)), graph, fields, noise, truth)


def test_a_denoiser():
    network = GraphDenoiser(**SMALL, embedding=8, mesh=Mesh("rect_flat", cells=3.0))
    check_network(network, (SIZES,), normal(N, 6, 6, 2), jnp.array([-1.0, 1.0]), CONDITIONS)
