"""A phase's step as one compiled program."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genkit import signals
from genkit.errors import GenkitError
from genkit.parallel import make_mesh, mesh_for, replicate, shard_batch
from genkit.train.phase import Phase


@dataclass(frozen=True)
class Compiled:
    """``call(carry, batch, flag) -> (carry, vector)``: the carry is (state, step), the vector the metrics.

    The last entry of the vector is the largest `flag` that any process gave: all processes learn of a signal
    to one of them at the same step, without a message of its own.
    """

    call: Callable[[Any, Any, int], tuple[Any, jax.Array]]
    names: tuple[str, ...]
    seconds: float


def compile_step(phase: Phase, state: Any, batch: Any, key: jax.Array, mesh: Mesh) -> Compiled:
    """Trace and compile the step of a phase for this state and batch (a host's share of it)."""
    begin = time.perf_counter()
    place, key = _placer(mesh), replicate(key, mesh)
    lowered, names = lower_step(phase, state, batch, key, mesh)
    program = _compile(lowered, alone=jax.process_count() == 1)

    def call(carry: Any, batch: Any, flag: int) -> tuple[Any, jax.Array]:
        try:
            return program(carry, place(batch), key, _flags(flag, mesh))
        except TypeError as error:
            raise GenkitError(
                f"phase {phase.name!r}: a batch differs from the first one in shape, type or structure: "
                f"{str(error).splitlines()[-1].strip()}; give batches of one shape"
            ) from error

    return Compiled(call, names, time.perf_counter() - begin)


def mesh_of(batch: Any, accumulate: int) -> Mesh:
    """All devices; those that the micro-batches of a batch cannot be split over share their rows."""
    sizes = {len(leaf) for leaf in jax.tree.leaves(batch) if np.ndim(leaf)}
    return mesh_for(math.gcd(*sizes) // accumulate) if sizes else make_mesh()


def lower_step(phase: Phase, state: Any, batch: Any, key: jax.Array, mesh: Mesh) -> tuple[Any, tuple[str, ...]]:
    """The step for a state, of arrays or of shapes and their places, as `jax.stages.Lowered`, and what it measures."""
    carry = (state, replicate(np.int32(0), mesh))
    names: list[str] = []

    def step(carry: Any, batch: Any, key: jax.Array, flags: Any) -> Any:
        state, i = carry
        new, metrics = phase.step(state, batch, jax.random.fold_in(key, i))
        names[:] = sorted(metrics)
        values = [jnp.asarray(metrics[name], jnp.float32) for name in names]
        for name, value in zip(names, values, strict=True):
            if value.shape != ():
                raise GenkitError(
                    f"phase {phase.name!r}: metric {name!r} has shape {value.shape}; a step's metrics are scalars, "
                    f"return a mean"
                )
        flag = jnp.float32(0) if flags is None else flags.max()
        return (new, i + 1), jnp.stack([*values, flag])

    out = (jax.tree.map(lambda x: x.sharding, carry), NamedSharding(mesh, PartitionSpec()))
    with jax.set_mesh(mesh):
        program = jax.jit(step, donate_argnums=0, out_shardings=out)
        lowered = program.lower(carry, _placer(mesh)(batch), key, _flags(0, mesh))
    return lowered, tuple(names)


def _flags(flag: int, mesh: Mesh) -> Any:
    """What each process wants to tell the others; nothing where there is one."""
    if jax.process_count() == 1:
        return None
    local = np.full(len(mesh.local_devices), flag, np.float32)
    return jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec(mesh.axis_names)), local)


def _placer(mesh: Mesh) -> Callable[[Any], Any]:
    """One device takes host arrays as they are, which is cheapest."""
    return (lambda batch: batch) if mesh.size == 1 else (lambda batch: shard_batch(batch, mesh))


def _compile(lowered: Any, alone: bool) -> Any:
    """Compile in a thread: it takes long and cannot be interrupted, while this thread still reads signals.

    One to one of several hosts must not stop it alone. The thread is no daemon: a process that ends during a
    compilation waits for it, as the compiler would abort.
    """
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put(lowered.compile())
        except BaseException as error:
            results.put(error)

    threading.Thread(target=work).start()
    while True:
        with contextlib.suppress(queue.Empty):
            found = results.get(timeout=0.2)
            break
        if alone:
            signals.check()
    if isinstance(found, BaseException):
        raise found
    return found
