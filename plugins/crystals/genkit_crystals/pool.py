"""Work on many crystals on all cores."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any


def each(
    work: Callable[..., Any],
    *items: Sequence[Any],
    share: int,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Any]:
    """[work(*one) for one in zip(*items)], in processes that each have `share` items at least.

    Args:
        work: what pickle can carry.
        items: sequences of one length.
        share: fewer items than this are not worth a process of their own.
        workers: processes; None for one a core.
        progress: called with the number of items done.
    """
    count = min(workers or os.cpu_count() or 1, len(items[0]) // share + 1)
    if count == 1:
        return _counted(map(work, *items), progress)
    # Not forked: a fork of a process in which jax has threads can hang.
    with concurrent.futures.ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        return _counted(pool.map(work, *items, chunksize=max(1, share // 4)), progress)


def _counted(found: Any, progress: Callable[[int], None]) -> list[Any]:
    done = []
    for one in found:
        done.append(one)
        progress(len(done))
    return done
