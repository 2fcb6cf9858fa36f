"""Random wrong command lines and random damage to a run folder: a short form of benchmarks/hostile.py."""

import importlib.util
import random
from pathlib import Path

import pytest

from genkit.errors import UsageError
from genkit.kinds import KINDS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "hostile.py"
ALONE = ("experiments", "models")
CONFIGURED = [kind for kind in KINDS if kind not in (*ALONE, "benchmarks", "commands", "loggers")]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The script as a module, in an empty folder."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("hostile", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


def test_lines_that_are_changed_are_right(script, toy, monkeypatch):
    known = ("toy", "good", "core.")  # no other plugin is here, and the processes of a sweep do not know this one
    alone = [one for one in script.RIGHT if any(word in one for word in known) and not one.startswith("sweep")]
    monkeypatch.setattr(script, "RIGHT", alone)
    script.prepare()
    assert not [(line, found) for line, found in script.right() if found]


@pytest.fixture
def hostile(script, toy, monkeypatch):
    """The same, in a folder with a good run of the toy plugin."""
    monkeypatch.setattr(script, "RIGHT", [line for line in script.RIGHT if "toy" in line or "good" in line])
    script.prepare()
    return script


@pytest.mark.parametrize("kinds", [["experiments"], ["models"], CONFIGURED], ids=["experiments", "models", "others"])
def test_each_field_of_each_component_takes_or_refuses_each_value(script, kinds):
    """As options; what their parser and classes say is one line that names the field."""
    tries = list(script.values(kinds))
    assert len(tries) > 100
    assert not [(what, found) for what, found in tries if found]


def test_values_that_pass_are_rehearsed(script, monkeypatch):
    """`--dry_run` of a few drawn from all experiments and their components ends in shapes or in one line."""
    monkeypatch.setattr(script, "LIMIT", 300)
    tries = list(script.fields(12, random.Random(0), ""))
    assert len(tries) == 12
    assert not [(what, found) for what, found in tries if found]


def test_a_value_that_is_refused_without_a_word_on_its_field_is_found(script, toy, monkeypatch):
    def check(self):
        if self.number > 5:
            raise UsageError("wrong" if self.number == 6 else "number:\nwrong")
        if not self.label:
            raise IndexError("none")

    monkeypatch.setattr(toy.Study, "__post_init__", check)
    monkeypatch.setattr(script, "components", lambda kinds: [toy.Study()])
    monkeypatch.setattr(script, "NUMBERS", ["0", "6", "7", "x"])
    monkeypatch.setattr(script, "WORDS", ["", "x"])
    assert [(what, wrong) for what, wrong in script.values([]) if wrong] == [
        ("Study.number = '6'", "it does not name the field: wrong"),
        ("Study.number = '7'", "more than a line: number:\nwrong"),
        ("Study.label = ''", "raises IndexError: none"),
    ]


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
