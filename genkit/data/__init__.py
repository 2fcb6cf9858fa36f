"""Sources of data: cached files, downloads and input pipelines."""

from typing import TYPE_CHECKING, Any

from genkit.data.cache import Absent, cache_dir, cached, location, only_looking
from genkit.data.files import NotFetched, fetch, local, own_file

if TYPE_CHECKING:
    from genkit.data.idx import find_idx, read_idx
    from genkit.data.pipeline import Arrays, Batches, Source, batches, pool_size

__all__ = [
    "Absent",
    "Arrays",
    "Batches",
    "NotFetched",
    "Source",
    "batches",
    "cache_dir",
    "cached",
    "fetch",
    "find_idx",
    "local",
    "location",
    "only_looking",
    "own_file",
    "pool_size",
    "read_idx",
]


def __getattr__(name: str) -> Any:
    # The pipeline needs jax, the cache does not: commands that only look for files stay fast.
    if name in ("find_idx", "read_idx"):
        from genkit.data import idx

        return getattr(idx, name)
    if name in __all__:
        from genkit.data import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
