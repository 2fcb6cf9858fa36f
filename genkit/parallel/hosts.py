"""Several hosts: joining them, and the few words they must exchange."""

from __future__ import annotations

import os

import jax
import numpy as np

from genkit.errors import GenkitError, UsageError


def initialise(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> bool:
    """Join the processes of a job through `jax.distributed`, when the environment says there are several.

    An explicit `coordinator` ("host:port", with the number of processes and the number of this one), or the
    variables GENKIT_COORDINATOR, GENKIT_PROCESSES and GENKIT_PROCESS, come first; otherwise a SLURM step of
    more than one task is detected. Must be called before the first use of a device. Returns whether several
    processes take part; calling it again does nothing.
    """
    if jax.distributed.is_initialized():
        return jax.process_count() > 1
    coordinator = coordinator or os.environ.get("GENKIT_COORDINATOR")
    if coordinator:
        processes = _number("GENKIT_PROCESSES", processes)
        process = _number("GENKIT_PROCESS", process)
    elif int(os.environ.get("SLURM_NTASKS", "1")) <= 1 or "SLURM_STEP_NODELIST" not in os.environ:
        return False
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        where = coordinator or "the SLURM step's first node"
        raise GenkitError(
            f"cannot join the processes of this job at {where}: {str(error).splitlines()[0]}; "
            f"check that all of them run and reach it, or set GENKIT_COORDINATOR=host:port"
        ) from error
    return jax.process_count() > 1


def _number(variable: str, given: int | None) -> int:
    text = os.environ.get(variable, "") if given is None else str(given)
    if not text.isdigit():
        raise UsageError(f"a coordinator needs {variable} too: expected a whole number, got {text!r}")
    return int(text)


def is_main() -> bool:
    """Whether this is process 0, the one that writes and talks."""
    return jax.process_index() == 0


def is_alone() -> bool:
    """Whether this is the only process, which may stop by itself."""
    return jax.process_count() == 1


def barrier(name: str) -> None:
    """Wait until every process has come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def broadcast_int(value: int) -> int:
    """The value of process 0, in every process (within 31 bits)."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def broadcast_text(text: str) -> str:
    """The text of process 0 (at most 4000 bytes of UTF-8), in every process."""
    if jax.process_count() == 1:
        return text
    from jax.experimental import multihost_utils

    content = text.encode() if is_main() else b""
    if len(content) > 4000:
        raise ValueError(f"a text of {len(content)} bytes is too long to broadcast; at most 4000")
    buffer = np.zeros(4002, np.uint8)
    buffer[:2] = divmod(len(content), 256)
    buffer[2 : 2 + len(content)] = np.frombuffer(content, np.uint8)
    got = np.asarray(multihost_utils.broadcast_one_to_all(buffer))
    return got[2 : 2 + int(got[0]) * 256 + int(got[1])].tobytes().decode()


def agree(flag: int) -> int:
    """The largest flag of all processes, in every process: how a signal to one host reaches all."""
    if jax.process_count() == 1:
        return int(flag)
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.int32(flag))))
