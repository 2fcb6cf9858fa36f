"""Work on many items on all cores, or on all those of a cluster."""

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import joblib

from genkit.errors import GenkitError, UsageError

LOCAL = {"processes": "loky", "threads": "threading"}
SCHEDULER, WORKER = 10, 60  # seconds that are waited for a scheduler, and for its first worker


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
    workers must have what `work` imports, and may come and go. Without it the surrounding `joblib.parallel_config`
    counts.

    Args:
        work: what pickle can carry.
        items: sequences of one length.
        share: fewer items than this are not worth a process of their own.
        workers: processes or threads here; None for one a core. On a cluster all work.
        progress: called with the number of items done.

    Raises:
        GenkitError: the scheduler does not answer or has no worker, or its package is missing.
    """
    name, every, done = os.environ.get("GENKIT_WORKERS", ""), list(zip(*items, strict=True)), []
    batch = max(1, share // 4)
    if not every or not name or name in LOCAL:
        found = _here(work, every, share, batch, workers, name)
    else:
        found = _by_dask(work, every, batch, name)
    with contextlib.closing(found):
        for one in found:
            done.append(one)
            progress(len(done))
    return done


def _here(
    work: Callable[..., Any], every: list[Any], share: int, batch: Any, workers: int | None, name: str
) -> Generator[Any]:
    with joblib.parallel_config(LOCAL[name]) if name in LOCAL else contextlib.nullcontext():
        count = min(workers or joblib.effective_n_jobs(-1), len(every) // share + 1)
        yield from joblib.Parallel(count, batch_size=batch, return_as="generator")(
            joblib.delayed(work)(*args) for args in every
        )


def _by_dask(work: Callable[..., Any], every: list[Any], batch: int, name: str) -> Generator[Any]:
    """Not by joblib, which counts the workers once, works here where it counts one, and leaves later ones idle."""
    if not _is_address(name):
        raise UsageError(
            f"GENKIT_WORKERS={name!r} is no place to work; expected processes, threads, or the address of a dask "
            "scheduler, as tcp://host:8786"
        )
    try:
        from distributed import Client, Security  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise GenkitError(f"GENKIT_WORKERS={name} needs distributed; python -m pip install distributed") from None
    try:
        security = Security()  # of dask's own configuration
        if name.startswith("tls") and security.get_connection_args("client")["ssl_context"] is None:
            raise ValueError("tls needs the certificates of distributed.comm.tls in the configuration of dask")
        client = Client(name, timeout=SCHEDULER, set_as_default=False, security=security)
    except (OSError, ValueError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GenkitError(f"no dask scheduler answers at GENKIT_WORKERS={name}: {why}") from None
    with client:
        parts = [every[i : i + batch] for i in range(0, len(every), batch)]
        futures = client.map(partial(_part, work), parts, pure=False)
        try:  # after the work is there, for which an adaptive cluster starts its workers
            client.wait_for_workers(1, timeout=WORKER)
        except TimeoutError:
            raise GenkitError(
                f"the dask scheduler at GENKIT_WORKERS={name} has no worker after {WORKER:g} s; `dask worker {name}` "
                "starts some"
            ) from None
        for future in futures:
            yield from future.result()


def _part(work: Callable[..., Any], some: list[Any]) -> list[Any]:
    return [work(*args) for args in some]


def _is_address(name: str) -> bool:
    """Whether it is tcp://host:port, or tls; others dask tries for long."""
    try:
        parts = urlsplit(name)
        return parts.scheme in ("tcp", "tls") and bool(parts.hostname and parts.port) and not parts.path
    except ValueError:  # of the port
        return False
