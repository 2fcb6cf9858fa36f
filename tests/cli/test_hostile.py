"""Random wrong command lines and random damage to a run folder: a short form of benchmarks/hostile.py."""

import importlib.util
import random
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hostile.py"


@pytest.fixture
def hostile(toy, tmp_path, monkeypatch):
    """The script as a module, in a folder with a good run."""
    spec = importlib.util.spec_from_file_location("hostile", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "RIGHT", [line for line in module.RIGHT if "toy" in line or "good" in line])
    module.prepare()
    return module


def test_lines_that_are_changed_are_right(hostile, monkeypatch):
    alone = [line for line in hostile.RIGHT if not line.startswith("sweep")]  # its processes do not know the plugin
    monkeypatch.setattr(hostile, "RIGHT", alone)
    assert not [(line, found) for line, found in hostile.right() if found]


def test_wrong_lines_and_damaged_folders(hostile):
    draw = random.Random(0)
    tries = [*hostile.lines(40, 0, draw), *hostile.folders(4, draw)]
    assert len(tries) == 60
    assert not [(what, found) for what, found in tries if found]


def test_what_is_wrong_is_found(hostile, toy, monkeypatch):
    def bug(self, run):
        raise IndexError("list index out of range")

    assert hostile.wrong(["show", "good"]) == "" and hostile.wrong(["show", "gone"]) == ""
    monkeypatch.setattr(toy.Study, "sample", bug)
    assert hostile.wrong(["run", "toy.study", "--out", "new"]).startswith("a raw error: genkit: IndexError")
    monkeypatch.setattr(hostile, "LIMIT", 1)
    monkeypatch.setattr(toy.Study, "sample", lambda self, run: [None for _ in iter(int, 1)])
    assert hostile.wrong(["run", "toy.study", "--out", "more"]) == "hangs for 1 s"
