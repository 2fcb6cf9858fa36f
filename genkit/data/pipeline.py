"""Batches of a random-access source, in an order that can be resumed at any place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np

from genkit.errors import DataError, UsageError

POOL = 16  # batches among which near elements are brought together, at most


class Source(Protocol):
    """Elements by number: pytrees of numpy arrays of equal shapes.

    A source that also has ``take(indices (b,)) -> batch`` (leaves (b, ...)) is read a batch at a time.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Any: ...


class Arrays:
    """A pytree of arrays with a common leading axis as a source; batches are cut by one index operation."""

    def __init__(self, tree: Any):
        self.tree = jax.tree.map(np.asarray, tree)
        sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(self.tree)}
        if len(sizes) != 1 or 0 in sizes:
            raise DataError(f"arrays of a source need one common number of rows > 0; got {sorted(sizes)}")
        self._size = sizes.pop()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, i: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[i], self.tree)

    def take(self, indices: np.ndarray) -> Any:
        """The rows of these numbers."""
        return jax.tree.map(lambda leaf: leaf[indices], self.tree)


def pool_size(n: int, batch_size: int) -> int:
    """Batches among which near ones of n elements are brought together: few elements are there twice."""
    return max(1, min(POOL, n // (4 * batch_size)))


@dataclass(frozen=True)
class Batches:
    """What `batches` returns: every ``iter`` of it starts from the beginning; ``self[k]`` is batch k.

    Batch k is computed from (seed, k) alone: the same on any number of workers, hosts and resumptions.
    """

    source: Source
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    transform: Callable[[Any], Any] | None = None
    workers: int = 0
    prefetch: int = 2
    share: tuple[int, int] = (0, 1)
    near: np.ndarray | None = field(default=None, compare=False)

    def __getitem__(self, k: int) -> Any:
        process, processes = self.share
        part = self.batch_size // processes
        indices = self._batch(k)[process * part : (process + 1) * part]
        if hasattr(self.source, "take"):
            batch = self.source.take(indices)  # type: ignore[attr-defined]
        else:
            batch = jax.tree.map(lambda *leaves: np.stack(leaves), *[self.source[int(i)] for i in indices])
        return self.transform(batch) if self.transform else batch

    def __iter__(self) -> BatchIterator:
        return BatchIterator(self)

    def _batch(self, k: int) -> np.ndarray:
        """The elements of batch k: the next ones, or where batches are of near elements those of a pool of batches."""
        if self.near is None:
            return self.indices(k * self.batch_size, (k + 1) * self.batch_size)
        size = pool_size(len(self.source), self.batch_size)
        number, place = divmod(k, size)
        pooled = self.indices(number * size * self.batch_size, (number + 1) * size * self.batch_size)
        pooled = pooled[np.argsort(self.near[pooled], kind="stable")].reshape(size, self.batch_size)
        rng = np.random.default_rng((self.seed, number, POOL))  # three numbers: not the stream of an epoch
        return rng.permuted(pooled, axis=1)[rng.permutation(size)[place]]  # rows tell nothing of what is near

    def indices(self, first: int, last: int) -> np.ndarray:
        """Elements at the places first..last-1 of the endless row of epochs; each has every element once."""
        n = len(self.source)
        parts = []
        while first < last:
            epoch, start = divmod(first, n)
            stop = min(n, start + last - first)
            parts.append(_order(n, self.seed, epoch)[start:stop] if self.shuffle else np.arange(start, stop))
            first += stop - start
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class BatchIterator:
    """Endless batches; `get_state` is a small dict that JSON can hold."""

    def __init__(self, batches: Batches):
        self._batches, self._next = batches, 0
        self._stream: Generator[Any, None, None] | None = None

    def __iter__(self) -> BatchIterator:
        return self

    def __next__(self) -> Any:
        if self._stream is None:
            self._stream = _stream(self._batches, self._next)
        batch = next(self._stream)
        self._next += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """The place of the next batch."""
        return {"batch": self._next}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue at a place."""
        self.close()
        self._next = int(state["batch"])

    def close(self) -> None:
        """End the threads or processes that prepare batches; the next batch starts them again."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def batches(
    source: Source | Any,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool = True,
    transform: Callable[[Any], Any] | None = None,
    workers: int = 0,
    prefetch: int = 2,
    near: np.ndarray | None = None,
) -> Batches:
    """Endless batches of a source, for `genkit.train.Phase.data`.

    Args:
        source: a `Source`, or a pytree of arrays with a common leading axis.
        batch_size: elements of a batch over all hosts; each process gets its share, in their order.
        seed: of the order.
        shuffle: a new random order every epoch; else the order of the source.
        transform: ``batch -> batch`` on the host. Randomness belongs into the training step, which has a key.
        workers: processes that prepare batches (source and transform must then be picklable); 0 prepares them
            in threads of this one.
        prefetch: batches prepared ahead; 0 prepares each when it is asked for, cheapest for arrays in memory.
        near: a number of each element, as its length: those of nearly equal ones share a batch, among a pool of
            batches in the order of the epochs. Every epoch still has every element once.

    Raises `DataError` for an empty source, `UsageError` where the hosts cannot share the batch or `near` is not one
    finite number of each element.
    """
    if not hasattr(source, "__getitem__") or isinstance(source, (dict, tuple, list, np.ndarray, jax.Array)):
        source = Arrays(source)
    if isinstance(source, Arrays) and transform is None:
        prefetch = 0
    if not len(source):
        raise DataError(f"the source {type(source).__name__} is empty; expected at least one element")
    share = (jax.process_index(), jax.process_count())
    if batch_size < 1 or batch_size % share[1]:
        raise UsageError(f"a batch of {batch_size} cannot be shared by {share[1]} hosts; choose a multiple")
    if near is not None:
        near = np.asarray(near, float)
        if near.shape != (len(source),) or not np.isfinite(near).all() or not shuffle:
            raise UsageError(f"near has shape {near.shape}, shuffle={shuffle}; expected a finite number of each of the "
                             f"{len(source)} elements, which are shuffled")  # fmt: skip
    return Batches(source, batch_size, seed, shuffle, transform, workers, prefetch, share, near)


@functools.lru_cache(maxsize=8)
def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


@dataclass(frozen=True)
class _From:
    """Batches from a place on, as grain reads them."""

    batches: Batches
    first: int

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: Any) -> Any:
        return self.batches[self.first + int(index)]


def _stream(of: Batches, first: int) -> Generator[Any, None, None]:
    """Batches from `first` on, prepared ahead."""
    if not of.workers and not of.prefetch:
        while True:
            yield of[first]
            first += 1
    import grain

    ahead = grain.ReadOptions(num_threads=max(1, min(of.prefetch, 4)), prefetch_buffer_size=max(1, of.prefetch))
    read = grain.MapDataset.source(_From(of, first)).to_iter_dataset(ahead)
    if of.workers:
        import absl.flags

        absl.flags.FLAGS.mark_as_parsed()  # grain reads flags of absl, which no absl program has parsed here
        read = read.mp_prefetch(grain.MultiprocessingOptions(of.workers, max(1, of.prefetch)))
    stream = iter(read)
    try:
        yield from stream
    finally:
        stream.close()
