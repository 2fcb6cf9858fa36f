"""Work on many items in processes, in threads, and on a cluster."""

import contextlib
import subprocess
import sys
import threading

import pytest

from genkit import workers
from genkit.errors import GenkitError, UsageError
from genkit.workers import each


def test_a_script_without_a_guard_may_use_processes(tmp_path):
    """Processes that read the script again would begin it again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import math\nfrom genkit.workers import each\nprint(each(math.sqrt, [4.0, 9.0], share=1, workers=2))"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[2.0, 3.0]\n", 0), done.stderr


def test_order_progress_and_lengths():
    told = []
    assert each(pow, [2, 3], [3, 2], share=10, progress=told.append) == [8, 9] and told == [1, 2]
    with pytest.raises(ValueError, match="shorter"):
        each(pow, [2, 3], [3], share=10)


def where(item):
    """The process and the thread that got an item, told by a name that only one of them has."""
    return item, threading.current_thread().name


@pytest.mark.parametrize("place", ["threads", "dask"])
def test_other_places(place, monkeypatch):
    with contextlib.ExitStack() as stack:
        dask = place == "dask"
        if dask:
            cluster = pytest.importorskip("distributed").LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
            )
            place = stack.enter_context(cluster).scheduler_address
        monkeypatch.setenv("GENKIT_WORKERS", place)
        told = []
        found = each(where, range(20), share=1, workers=2, progress=told.append)
    assert [item for item, _ in found] == list(range(20)) and told == list(range(1, 21))
    names = {name for _, name in found}
    assert "MainThread" not in names and all(("Dask" in name) == dask for name in names)


def test_places_that_are_none(monkeypatch):
    monkeypatch.setenv("GENKIT_WORKERS", "thread")
    with pytest.raises(UsageError, match="GENKIT_WORKERS='thread' is no place .* as tcp://host:8786"):
        each(abs, [1], share=1)
    distributed = pytest.importorskip("distributed")
    for name in ("nonsense://host:1", "tcp://host", "tls://localhost:1"):  # the last one without keys
        monkeypatch.setenv("GENKIT_WORKERS", name)
        with pytest.raises(GenkitError, match=f"no dask scheduler answers at GENKIT_WORKERS={name}: "):
            each(abs, [1], share=1)
    monkeypatch.setattr(workers, "STARTING", 0.2)
    with distributed.LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=None) as cluster:
        monkeypatch.setenv("GENKIT_WORKERS", cluster.scheduler_address)
        with pytest.raises(GenkitError, match="no worker came to the dask scheduler tcp://.*; start `dask worker tcp"):
            each(abs, [1], share=1)
