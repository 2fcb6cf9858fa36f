"""Meshes and sharding rules on four virtual devices; run as a script, this file is the checks."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from genkit.errors import UsageError
from genkit.parallel import all_devices, fsdp, make_mesh, replicate, shard_batch, shardings, split
from genkit.programs import watch


def meshes():
    mesh = make_mesh()
    assert dict(mesh.shape) == {"data": 4, "model": 1} and set(mesh.axis_types) == {AxisType.Auto}
    assert dict(make_mesh(model=2).shape) == {"data": 2, "model": 2}
    with pytest.raises(UsageError, match="a mesh of 8 x 1 devices was asked for, there are 4"):
        make_mesh(data=8)


def batches_are_split():
    mesh = make_mesh()
    batch = shard_batch({"x": np.arange(8.0), "scale": np.float32(2)}, mesh)
    assert [s.data.shape for s in batch["x"].addressable_shards] == [(2,)] * 4
    assert batch["scale"].sharding.is_fully_replicated
    assert replicate(np.ones(3), mesh).sharding.is_fully_replicated
    with pytest.raises(UsageError, match="a batch of 6 cannot be split over 4 devices; choose a multiple of 4"):
        shard_batch(np.zeros(6), mesh)


def gathers_of_sharded_arrays_work():
    x = shard_batch(np.arange(8.0), make_mesh())
    np.testing.assert_array_equal(jax.jit(lambda x: jnp.take(x, jnp.array([5, 1])))(x), [5, 1])
    sums = jax.jit(lambda x: jax.ops.segment_sum(x, jnp.arange(8) // 4, 2))(x)
    np.testing.assert_array_equal(sums, [6, 22])


def draws_are_split_and_equal():
    def draw(key):
        return split({"x": jax.random.normal(key, (8, 3)), "odd": jnp.zeros(3), "n": jnp.zeros(())})

    key = jax.random.key(0)
    alone = jax.jit(draw)(key)
    with jax.set_mesh(make_mesh()):
        together = jax.jit(lambda key: draw(key))(key)
    assert together["x"].sharding.spec == PartitionSpec("data")
    assert together["odd"].sharding.is_fully_replicated
    np.testing.assert_array_equal(alone["x"], together["x"])


def a_rehearsal_sets_no_mesh():
    """Its programs are traced, where none can be set."""
    with watch(), all_devices():
        assert not jax.jit(jnp.sin)(jnp.ones(4)).sharding.device_set - {jax.devices()[0]}


def rules_place_leaves():
    mesh = make_mesh()
    tree = {"big": jnp.zeros((6, 512)), "tall": jnp.zeros((1024, 8)), "odd": jnp.zeros((1023, 3)), "b": jnp.zeros(8)}
    places = shardings(tree, mesh, fsdp(mesh, min_size=1000))
    assert {name: place.spec for name, place in places.items()} == {
        "big": PartitionSpec(None, mesh.axis_names),
        "tall": PartitionSpec(mesh.axis_names, None),
        "odd": PartitionSpec(),
        "b": PartitionSpec(),
    }
    for other in (make_mesh(data=1, model=4), make_mesh(model=2)):  # of as many devices: the rule holds on it too
        assert shardings(tree, other, fsdp(mesh, min_size=1000))["tall"].shard_shape((1024, 8)) == (256, 8)
    assert shardings(tree, mesh)["big"] == NamedSharding(mesh, PartitionSpec())
    own = {"layer": {"w": jnp.zeros((6, 2))}}
    with pytest.raises(UsageError, match=r"splits layer/w of shape \(6, 2\) .* 6 is no multiple of 4"):
        shardings(own, mesh, lambda path, leaf: PartitionSpec("data") if path == "layer/w" else PartitionSpec())


def test_on_four_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_on_one_device_nothing_changes():
    x = jnp.zeros((4, 2))
    assert split(x) is x
    mesh = make_mesh(data=1)
    assert shardings(x, mesh, fsdp(mesh, min_size=1)).spec == PartitionSpec()


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    meshes()
    batches_are_split()
    gathers_of_sharded_arrays_work()
    draws_are_split_and_equal()
    a_rehearsal_sets_no_mesh()
    rules_place_leaves()
