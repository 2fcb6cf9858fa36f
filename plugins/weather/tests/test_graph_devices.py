"""Edges and nodes of a graph on four virtual devices: numbers of one, edges in parts; as a script, the checks."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.nn import functional
from genkit.parallel import all_devices
from genkit_weather.graphs import Mesh, normalised
from genkit_weather.networks.conditioning import Conditioning, Sizes
from genkit_weather.networks.graph_lam import GraphLAM

SIDE, ITEMS = 21, 2
PLACES = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2)


def gradients_are_those_of_one_device():
    graph = normalised(Mesh("rect_flat", distance=3.0).build(PLACES, (SIDE, SIDE)))
    sizes = Sizes((SIDE, SIDE), (0, 0), 3, 0, 0, 2)
    f, params = functional(GraphLAM(width=8, layers=1).build(nnx.Rngs(0), sizes, graph))
    fields = jax.random.normal(jax.random.key(0), (ITEMS, SIDE, SIDE, 3))

    def loss(params, fields):
        cond = Conditioning(fields, jnp.zeros((ITEMS, 0, 0)), jnp.zeros((ITEMS, 0)))
        return jnp.square(f(params, graph, cond)).mean()

    alone = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(params, fields).compile()
    with all_devices(1):  # a mesh of 1 x 4
        shared = jax.jit(lambda *args: jax.value_and_grad(loss, (0, 1))(*args)).lower(params, fields).compile()
    for one, other in zip(*map(jax.tree.leaves, (alone(params, fields), shared(params, fields))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * float(jnp.abs(one).max()))
    sent = re.findall(r"\w+\[([\d,]+)\]\S* (?:all-gather|all-reduce|all-to-all|collective-permute)\(", shared.as_text())
    rows = {int(shape.split(",")[0]) for shape in sent if shape.count(",") == 2}
    nodes = max(SIDE * SIDE, *(int(edges.sizes[0]) for edges in (graph.g2m, graph.m2g)))
    assert rows and max(rows) <= nodes + 3 < len(graph.m2g)  # nodes are sent, filled up to a multiple of 4; edges never
    one, four = (made.memory_analysis().temp_size_in_bytes for made in (alone, shared))
    assert four < 0.5 * one


def test_on_four_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    gradients_are_those_of_one_device()
