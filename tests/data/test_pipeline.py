import numpy as np
import pytest

from genkit.data import Arrays, batches
from genkit.errors import DataError, UsageError


class Squares:
    """Element i is {"i": i, "square": (i, i^2)}."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return {"i": np.int64(i), "square": np.array([i, i * i], np.float32)}


def double(batch):
    return {**batch, "double": 2 * batch["i"]}


def test_every_epoch_has_every_element_once_in_another_order():
    it = iter(batches(Squares(), 4, seed=3, prefetch=0))
    seen = np.concatenate([next(it)["i"] for _ in range(5)])  # two epochs; batches cross the border
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])
    assert list(next(iter(batches(Squares(), 4, seed=4, prefetch=0)))["i"]) != list(seen[:4])


def test_in_order_and_transformed():
    batch = next(iter(batches(Squares(), 12, shuffle=False, transform=double)))
    np.testing.assert_array_equal(batch["double"], [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 0, 2])
    assert batch["square"].shape == (12, 2) and batch["square"].dtype == np.float32


@pytest.mark.parametrize("prefetch", [0, 3])
def test_resumes_exactly(prefetch):
    it = iter(batches(Squares(), 3, seed=1, prefetch=prefetch))
    for _ in range(5):
        next(it)
    state = it.get_state()
    rest = [next(it)["i"] for _ in range(6)]
    it.close()
    other = iter(batches(Squares(), 3, seed=1, prefetch=0))
    other.set_state(state)
    np.testing.assert_array_equal(rest, [next(other)["i"] for _ in range(6)])


def test_hosts_share_a_batch():
    whole = batches(Squares(), 4, seed=5)
    parts = [type(whole)(whole.source, 4, 5, share=(process, 2)) for process in (0, 1)]
    for k in range(4):
        joined = np.concatenate([part[k]["i"] for part in parts])
        np.testing.assert_array_equal(joined, whole[k]["i"])


def test_near_elements_share_a_batch():
    """Of 64 elements in batches of 4 those of a pool of 16 are sorted; epochs have all of them, batches any order."""
    source, near = Arrays(np.arange(64)), np.random.default_rng(0).integers(0, 100, 64)
    plain, sorted_ = batches(source, 4, seed=1), batches(source, 4, seed=1, near=near)
    order = []
    for pool in range(4):
        rows = [sorted_[4 * pool + k] for k in range(4)]
        there = np.concatenate([plain[4 * pool + k] for k in range(4)])
        assert set(np.concatenate(rows)) == set(there)
        first = sorted(sorted(near[row].tolist()) for row in rows)
        np.testing.assert_array_equal(np.concatenate(first), np.sort(near[there]))
        order.append(np.argsort([near[row].min() for row in rows]).tolist())
    assert any(one != [0, 1, 2, 3] for one in order)
    assert any((np.diff(near[sorted_[k]]) < 0).any() for k in range(16))  # rows are in any order
    half = type(sorted_)(source, 4, 1, share=(1, 2), near=near)
    np.testing.assert_array_equal(half[5], sorted_[5][2:])


def test_arrays_are_cut_as_if_element_by_element():
    tree = {"a": np.arange(20.0).reshape(10, 2), "b": np.arange(10)}
    taken = batches(tree, 4, seed=2)[1]
    source = Arrays(tree)
    for j, i in enumerate(taken["b"]):
        np.testing.assert_array_equal(taken["a"][j], source[int(i)]["a"])


def test_errors():
    with pytest.raises(DataError, match=r"one common number of rows > 0; got \[3, 4\]"):
        batches({"a": np.zeros((3, 1)), "b": np.zeros(4)}, 2)
    with pytest.raises(DataError, match="empty"):
        batches(type("None_", (), {"__len__": lambda s: 0, "__getitem__": lambda s, i: i})(), 2)
    with pytest.raises(UsageError, match="a batch of 0"):
        batches(Squares(), 0)
    for near, shuffle in (([1.0], True), ([np.nan] * 10, True), (range(10), False)):
        with pytest.raises(UsageError, match="near has shape"):
            batches(Squares(), 2, near=near, shuffle=shuffle)


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    # What a worker runs it must be able to import, which a test file is not.
    workers, here = (batches(Arrays(np.arange(10)), 3, seed=1, workers=w, transform=np.square) for w in (1, 0))
    it = iter(workers)
    got = [next(it).copy() for _ in range(4)]
    it.close()
    np.testing.assert_array_equal(got, [here[k] for k in range(4)])
