"""Memory that is freed, where the allocator is that of GNU: kept for the programs that follow, or given back."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

KEPT = {-4: 0, -1: -1, -8: 1}  # M_MMAP_MAX, M_TRIM_THRESHOLD (never), M_ARENA_MAX


def keep() -> None:
    """Keep what is freed for what is allocated next, unless variables of the allocator say what to do.

    A compiled program allocates its temporary arrays in each call. Above 32 MB they would be mapped anew each time, and
    every 4 KB of them cost a page fault: up to a third of the processor's time. Only the main arena can hold them, so
    it is the only one. To be called before there are threads.
    """
    told = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if (mallopt := _of_libc("mallopt")) and not told:
        for option, value in KEPT.items():
            mallopt(option, value)


def release() -> None:
    """Give back what is free, also between arrays that are in use: after preparations, before long work."""
    if trim := _of_libc("malloc_trim"):
        trim(0)


def _of_libc(name: str) -> Callable[..., Any] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
