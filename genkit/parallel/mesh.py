"""The device mesh, and arrays placed on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from genkit.errors import UsageError
from genkit.programs import watched


def make_mesh(data: int | None = None, model: int = 1) -> Mesh:
    """A mesh with the axes ("data", "model"); without `data`, all devices of all hosts are used.

    The axes are of type Auto: the compiler places collectives, and sharded gathers and segment sums work.
    Raises `UsageError` when there are not enough devices, or the hosts would not all take part.
    """
    devices = jax.devices()
    data = len(devices) // model if data is None else data
    if data * model > len(devices) or data * model < 1:
        raise UsageError(f"a mesh of {data} x {model} devices was asked for, there are {len(devices)}")
    if data * model < len(devices) and jax.process_count() > 1:
        raise UsageError(
            f"a mesh over {jax.process_count()} hosts must use all {len(devices)} devices, not {data} x {model}"
        )
    grid = np.array(devices[: data * model]).reshape(data, model)
    return Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def mesh_for(count: int) -> Mesh:
    """All devices: as many along "data" as divide `count`, the others along "model", which share rows (`split_rows`).

    With several hosts all are along "data".
    """
    if jax.process_count() > 1:
        return make_mesh()
    data = math.gcd(jax.device_count(), count)
    return make_mesh(data, jax.device_count() // data)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """A copy of every leaf on every device of the mesh; with several hosts all must hold the same values."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, everywhere)
    # jit, as device_put takes no array of one host to a mesh of several.
    return jax.jit(lambda x: x, out_shardings=everywhere)(tree)


def _on_data(leaf: Any, mesh: Mesh) -> NamedSharding:
    """Split the leading axis over "data"; scalars are copied."""
    return NamedSharding(mesh, PartitionSpec("data") if np.ndim(leaf) else PartitionSpec())


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Place a batch of host arrays (leaves (n, ...) or scalars) with the leading axis split over "data".

    With several hosts, each gives its own share of the batch, in the order of the processes.
    """
    if jax.process_count() > 1:
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(_on_data(x, mesh), np.asarray(x)), batch)
    parts = mesh.shape["data"]
    for leaf in jax.tree.leaves(batch):
        if np.ndim(leaf) and leaf.shape[0] % parts:
            raise UsageError(
                f"a batch of {leaf.shape[0]} cannot be split over {parts} devices; "
                f"choose a multiple of {parts}, or a mesh of fewer devices"
            )
    return jax.tree.map(lambda x: jax.device_put(x, _on_data(x, mesh)), batch)


def split(tree: Any) -> Any:
    """Inside a compiled function: split the leading axis of every leaf over "data" of the current mesh.

    For what is drawn on the device: batches, ensemble members, particles. Without a mesh (`jax.set_mesh`;
    `genkit.train.fit` sets one), or for an axis that "data" does not divide, the leaf stays as it is.
    """
    parts = dict(jax.sharding.get_abstract_mesh().shape).get("data", 1)
    if parts == 1:
        return tree

    def place(leaf: Any) -> Any:
        if not leaf.ndim or leaf.shape[0] % parts:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, PartitionSpec("data"))

    return jax.tree.map(place, tree)


def split_rows(x: jax.Array, rows: int = 1) -> jax.Array:
    """Inside a compiled function: split rows over "model" of the current mesh, and items over "data".

    Of images (n, h, ...), n items of h rows; with `rows=0` of nodes or edges of a graph (h, n, ...). What looks at
    neighbours, as convolutions do, is sent those of the devices beside; the numbers are those of one device up to
    rounding. Rows need not divide. Images of fewer rows than devices, or without such a mesh, stay as they are.
    """
    return _constrained(x, rows, "model")


def whole_rows(x: jax.Array, rows: int = 1) -> jax.Array:
    """As `split_rows`, but each device gets all rows: for what takes rows from anywhere, as the edges of a graph do."""
    return _constrained(x, rows, None)


def rows_are_split() -> bool:
    """Inside a compiled function: whether `split_rows` does anything."""
    return dict(jax.sharding.get_abstract_mesh().shape).get("model", 1) > 1


def _constrained(x: jax.Array, rows: int, along: str | None) -> jax.Array:
    parts = dict(jax.sharding.get_abstract_mesh().shape)
    if parts.get("model", 1) == 1 or x.shape[rows] < parts["model"]:
        return x
    items = None if x.shape[1 - rows] % parts["data"] else "data"
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*((along, items) if rows == 0 else (items, along))))


def in_chunks(f: Callable[[Any], Any], xs: Any, chunk: int) -> Any:
    """f of each row of xs, `chunk` rows at a time, each chunk split over "data" of the current mesh.

    As `jax.lax.map(f, xs, batch_size=chunk)`, whose chunks stay on one device.
    """
    n = len(jax.tree.leaves(xs)[0])
    whole = n // chunk * chunk
    parts = jax.tree.map(lambda x: x[:whole].reshape(n // chunk, chunk, *x.shape[1:]), xs)
    done = jax.lax.map(lambda part: jax.vmap(f)(split(part)), parts)
    done = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), done)
    if whole == n:
        return done
    rest = jax.vmap(f)(split(jax.tree.map(lambda x: x[whole:], xs)))
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), done, rest)


@contextmanager
def all_devices(count: int | None = None) -> Iterator[None]:
    """A mesh over all devices of this process for what uses `split` or `in_chunks`: samples and groups of particles.

    With `count`, that of `mesh_for`, for what uses `split_rows` too. Numbers are those of one device up to rounding.
    Does nothing where there is one device, where a mesh is set, with several hosts, and under `genkit.programs.watch`,
    within which no mesh can be set.
    """
    single = jax.device_count() == 1 or jax.process_count() > 1
    if single or watched() or jax.sharding.get_abstract_mesh().shape:
        yield
        return
    with jax.set_mesh(make_mesh() if count is None else mesh_for(count)):
        yield
