"""Work on many items on all cores, or on all those of a cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib

from genkit.errors import GenkitError, UsageError

LOCAL = {"processes": "loky", "threads": "threading"}
STARTING = 60  # seconds that workers of a cluster may come later


def each(
    work: Callable[..., Any],
    *items: Sequence[Any],
    share: int,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Any]:
    """[work(*one) for one in zip(*items)], in processes that each have `share` items at least.

    The processes start empty: they are no forks, which hang where jax has threads, and scripts need no guard. The
    variable GENKIT_WORKERS names another place: `threads`, or the address of a dask scheduler, tcp://host:8786, whose
    workers must have what `work` imports. Without it the surrounding `joblib.parallel_config` counts.

    Args:
        work: what pickle can carry.
        items: sequences of one length.
        share: fewer items than this are not worth a process of their own.
        workers: processes; None for one a core.
        progress: called with the number of items done.

    Raises:
        UsageError: GENKIT_WORKERS is no such place.
        GenkitError: the scheduler does not answer, has no workers, or its package is missing.
    """
    batch: Any = max(1, share // 4)  # joblib's annotation knows only "auto"
    done = []
    with _place(os.environ.get("GENKIT_WORKERS", "")):
        count = min(workers or joblib.effective_n_jobs(-1), len(items[0]) // share + 1)
        parallel = joblib.Parallel(count, batch_size=batch, return_as="generator")
        for one in parallel(joblib.delayed(work)(*args) for args in zip(*items, strict=True)):
            done.append(one)
            progress(len(done))
    return done


@contextlib.contextmanager
def _place(name: str) -> Iterator[None]:
    """Within it joblib works at the named place."""
    if not name or name in LOCAL:
        with joblib.parallel_config(LOCAL[name]) if name else contextlib.nullcontext():
            yield
        return
    if "://" not in name:
        raise UsageError(
            f"GENKIT_WORKERS={name!r} is no place to work; expected processes, threads, or the address of a dask "
            "scheduler, as tcp://host:8786"
        )
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
        from distributed.comm import get_address_host_port  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GenkitError(f"GENKIT_WORKERS={name} needs distributed; python -m pip install distributed") from None
    try:
        get_address_host_port(name)  # a client of what is no address would complain once more when it is deleted
        client = Client(name, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise GenkitError(f"no dask scheduler answers at GENKIT_WORKERS={name}: {str(error).splitlines()[0]}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=STARTING)
        except TimeoutError:
            raise GenkitError(
                f"no worker came to the dask scheduler {name} in {STARTING} s; start `dask worker {name}`"
            ) from None
        with joblib.parallel_config("dask", client=client):
            yield
