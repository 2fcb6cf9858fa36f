"""Sources of data: cached files, downloads and input pipelines."""

from typing import TYPE_CHECKING, Any

from genkit.data.cache import cache_dir, cached, location
from genkit.data.files import NotFetched, fetch, local, offline

if TYPE_CHECKING:
    from genkit.data.idx import read_idx
    from genkit.data.pipeline import Arrays, Batches, Source, batches

__all__ = [
    "Arrays",
    "Batches",
    "NotFetched",
    "Source",
    "batches",
    "cache_dir",
    "cached",
    "fetch",
    "local",
    "location",
    "offline",
    "read_idx",
]


def __getattr__(name: str) -> Any:
    # The pipeline needs jax, the cache does not: commands that only look for files stay fast.
    if name == "read_idx":
        from genkit.data.idx import read_idx

        return read_idx
    if name in __all__:
        from genkit.data import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
