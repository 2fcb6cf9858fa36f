"""Generated files in the cache, public files in the user's folders."""

import hashlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.data.cache import cache_dir, cached, fingerprint, location
from genkit.data.files import fetch, local
from genkit.errors import DataError
from genkit.programs import watch


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GENKIT_DATA", str(tmp_path / "data"))


def test_a_file_is_made_once_for_each_set_of_parameters():
    made = []

    def make(path):
        made.append(path)
        path.write_text("numbers")

    first = cached("set.txt", {"a": 1, "b": (2, 3)}, make)
    assert first.read_text() == "numbers" and first.parent == cache_dir() and first.suffix == ".txt"
    assert cached("set.txt", {"b": (2, 3), "a": 1}, make) == first
    assert cached("set.txt", {"a": 1, "b": (2, 4)}, make) != first
    assert len(made) == 2


def test_a_failed_making_leaves_nothing_behind():
    def make(path):
        path.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        cached("set.txt", {}, make)
    assert list(cache_dir().iterdir()) == []


def test_two_makers_at_once_both_get_the_file():
    together = threading.Barrier(2)

    def make(path):
        together.wait(10)
        path.write_text("same")

    paths = []
    threads = [threading.Thread(target=lambda: paths.append(cached("x.txt", {}, make))) for _ in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(paths) == 2 and paths[0] == paths[1] and paths[0].read_text() == "same"
    assert list(cache_dir().iterdir()) == [paths[0]]


def test_made_up_numbers_are_not_kept():
    def by_program(path):
        np.save(path, jax.jit(jnp.square)(jnp.ones(3)))

    def by_hand(path):
        path.write_text("right")

    with watch() as seen:
        found = cached("made.npy", {}, by_program)
        assert found == location("made.npy", {}) == cached("made.npy", {}, by_program) and found.exists()
        assert seen.folder in found.parents and len(seen.calls) == 1
        kept = cached("right.txt", {}, by_hand)
        with pytest.raises(DataError, match="not fetched yet; a run fetches it from https://example.invalid/x"):
            fetch("x.bin", "0" * 64, "https://example.invalid/x")
    assert not found.exists() and kept.read_text() == "right" and kept == location("right.txt", {})
    np.testing.assert_array_equal(np.load(cached("made.npy", {}, by_program)), 1)


def test_the_fingerprint_sees_every_value():
    base = {"noise": 0.3, "seeds": [0, 1]}
    assert fingerprint(base) == fingerprint({"seeds": [0, 1], "noise": 0.3})
    assert len({fingerprint(base), fingerprint({**base, "noise": 0.31}), fingerprint({**base, "seeds": [1, 0]})}) == 3


def test_a_local_file_is_found_and_checked(tmp_path):
    right = hashlib.sha256(b"data").hexdigest()
    assert local("weather/x.bin", right) is None
    path = tmp_path / "data/weather/x.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"data")
    assert local("weather/x.bin", right) == path == fetch("weather/x.bin", right, "https://example.invalid/x")
    path.write_bytes(b"dat")
    with pytest.raises(DataError, match="x.bin: SHA-256 .* expected"):
        local("weather/x.bin", right)


def test_a_file_that_cannot_be_fetched_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="y.bin: not in GENKIT_DATA and not fetched") as error:
        fetch("y.bin", "0" * 64, f"file://{tmp_path}/none")
    assert "\n" not in str(error.value)
