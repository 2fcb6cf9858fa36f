"""Work on many items on all cores."""

from collections.abc import Callable, Sequence
from typing import Any

import joblib


def each(
    work: Callable[..., Any],
    *items: Sequence[Any],
    share: int,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Any]:
    """[work(*one) for one in zip(*items)], in processes that each have `share` items at least.

    The processes start empty: they are no forks, which hang where jax has threads, and scripts need no guard.

    Args:
        work: what pickle can carry.
        items: sequences of one length.
        share: fewer items than this are not worth a process of their own.
        workers: processes; None for one a core.
        progress: called with the number of items done.
    """
    count = min(workers or joblib.cpu_count(), len(items[0]) // share + 1)
    batch: Any = max(1, share // 4)  # joblib's annotation knows only "auto"
    parallel = joblib.Parallel(count, batch_size=batch, return_as="generator")
    done = []
    for one in parallel(joblib.delayed(work)(*args) for args in zip(*items, strict=True)):
        done.append(one)
        progress(len(done))
    return done
