"""Sources of data: cached files, downloads and input pipelines."""

from typing import TYPE_CHECKING, Any

from genkit.data.cache import cache_dir as cache_dir
from genkit.data.cache import cached as cached

if TYPE_CHECKING:
    from genkit.data.pipeline import Arrays as Arrays
    from genkit.data.pipeline import Batches as Batches
    from genkit.data.pipeline import Source as Source
    from genkit.data.pipeline import batches as batches


def __getattr__(name: str) -> Any:
    # The pipeline needs jax, the cache does not: commands that only look for files stay fast.
    if name in ("Arrays", "Batches", "Source", "batches"):
        from genkit.data import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
