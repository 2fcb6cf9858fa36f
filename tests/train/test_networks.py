"""A training step of the plugins' networks is the same on four devices, its parameters split, as on one.

Run as a script, this file is the check. U-Nets and graph networks have theirs in `tests/nn` and in the plugin weather.
"""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genkit.nn import Net
from genkit.parallel import fsdp, make_mesh, replicate
from genkit.train import Phase, TrainState, make_step
from genkit.train.compiled import compile_step
from genkit.train.phase import abstract

RNG = np.random.default_rng(0)
RULE = optax.sgd(1.0)


def networks():
    """(network, sizes, batch of 8), and for crystals what all of a batch share."""
    from genkit_crystals.chains import layout
    from genkit_crystals.networks import Sizes, WyckoffGNN
    from genkit_molecules.networks import GraphTransformer, SequenceTransformer
    from genkit_representations.networks import ViT

    t, mask = RNG.random(8, np.float32), np.arange(6) < RNG.integers(4, 7, (8, 1))
    letters, atoms, bonds = (RNG.integers(0, 4, (8, n)) for n in (6, 4, 6))
    group = RNG.choice([1, 62, 221, 225], 8)
    slots = layout(group)
    x = tuple(RNG.integers(0, 3, shape) for shape in slots.shape(8))
    return {
        "graphs": (GraphTransformer(1, 16, 8, 1, 2, 16, 16), (("C", "N", "O", "F"),), (atoms, bonds, t)),
        "sequences": (SequenceTransformer(1, 16, 2, 32), (4,), (letters, t, mask)),
        "images": (ViT.preset("tiny"), ((4, 4, 3),), (RNG.standard_normal((8, 4, 4, 3), np.float32),)),
        "crystals": (WyckoffGNN.preset("tiny"), (Sizes(6, 5),), (x, slots, group, RNG.integers(0, 6, 8))),
    }


def trained(network, sizes, inputs, mesh):
    """(loss, gradient norm) of two steps, the parameters after them, and the most that a device has of one of them."""
    net, shared = Net(network, sizes), {i: a for i, a in enumerate(inputs) if type(a).__name__ == "Layout"}
    batch = [a for i, a in enumerate(inputs) if i not in shared]

    def loss(params, aux, batch, key):
        rest = iter(batch)
        out = net(params, *[shared[i] if i in shared else next(rest) for i in range(len(inputs))])
        return sum(jnp.square(leaf - 1).mean() for leaf in jax.tree.leaves(out)), (aux, {})

    def init(key):
        draw = lambda i, x: jax.random.normal(jax.random.fold_in(key, i), x.shape) / 4  # noqa: E731
        leaves, tree = jax.tree.flatten(net.shapes())
        return TrainState.create(tree.unflatten(map(draw, range(len(leaves)), leaves)), RULE, ema=False)

    phase, key = Phase("net", init, make_step(loss, RULE, clip=0.1), None, 2, shard=fsdp(mesh, 64)), jax.random.key(0)
    state = jax.device_put(init(key), jax.tree.map(lambda s: s.sharding, abstract(phase, mesh)))
    step, carry, told = compile_step(phase, state, batch, key, mesh), (state, replicate(np.int32(0), mesh)), []
    for _ in range(2):
        carry, vector = step.call(carry, batch, 0)
        told.append(np.asarray(vector))
    params = carry[0].params
    part = max(x.addressable_shards[0].data.size / x.size for x in jax.tree.leaves(params) if x.size >= 256)
    return np.stack(told), jax.device_get(params), part


def steps_are_equal(name, *one):
    (told, params, whole), (again, others, part) = (trained(*one, make_mesh(data=n)) for n in (1, 4))
    assert (whole, part) == (1, 0.25), f"{name}: {part}"
    assert told[1, 1] < told[0, 1] or told[1, 0] != told[0, 0]  # two different steps
    np.testing.assert_allclose(again, told, rtol=1e-5, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=name), others, params)


def test_steps_on_four_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    for name, one in networks().items():
        steps_are_equal(name, *one)
