"""The harness: rows and timings, what it records, the command around it."""

import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from genkit.bench import Row, Timed, baseline, compiled, measure, record, table
from genkit.cli import main
from genkit.cli.bench import chosen

SUITES = """
from dataclasses import dataclass
from genkit.bench import Row
from genkit.errors import DataError
from genkit.plugin import Plugin

@dataclass(frozen=True)
class Fidelity:
    def measure(self, profile):
        yield Row("pi", 3.14159, expected=3.0, tolerance=0.1, note="1 Kings 7:23")

@dataclass(frozen=True)
class Wrong:
    def measure(self, profile):
        yield Row("[pi]", 3.14159, expected=3.0, tolerance=0.01)

@dataclass(frozen=True)
class Failing:
    def measure(self, profile):
        raise DataError("no data; fetch them")

plugin = Plugin("own", "for tests", benchmarks={
    "fidelity": ("own_plugin:Fidelity", ""), "wrong": ("own_plugin:Wrong", ""), "failing": ("own_plugin:Failing", ""),
})
"""


@dataclass(frozen=True)
class Sleeps:
    """Known times."""

    def measure(self, profile):
        yield Row("profile", float(profile == "smoke"))
        yield Timed("nap", lambda: time.sleep(0.002), {"naps/s": 1, "winks/s": 40})
        yield Timed("long nap", lambda: time.sleep(0.02), against=("nap", lambda: time.sleep(0.002)))


@pytest.mark.parametrize(
    "row, error, missed",
    [
        (Row("a", 2.0), None, False),
        (Row("a", 2.2, expected=2.0, tolerance=0.11), 0.1, False),
        (Row("a", 1.7, expected=2.0, tolerance=0.11), 0.15, True),
        (Row("a", 1e-9, expected=0.0, tolerance=1e-8), 1e-9, False),
        (Row("a", math.nan, expected=2.0, tolerance=0.1), math.nan, True),
    ],
)
def test_what_is_missed(row, error, missed):
    assert row.error == pytest.approx(error, nan_ok=True) and row.missed is missed


def test_a_suite_is_measured():
    told = []
    found = measure({"sleeps": Sleeps()}, "smoke", lambda name, rows: told.append(name))
    rows = {(row.name, row.unit): row.value for row in found["sleeps"]}
    assert told == ["sleeps"] and len(rows) == 6
    assert rows["profile", ""] == 1.0
    assert 0.002 <= rows["nap", "s"] and rows["nap", "naps/s"] == pytest.approx(1 / rows["nap", "s"])
    assert rows["nap", "winks/s"] == pytest.approx(40 / rows["nap", "s"])
    assert rows["long nap", "x nap"] > 1


@pytest.mark.parametrize(("rounds", "timed", "calls"), [(1, 1, 1), (5, 101, 2), (200, 200, 2)])
def test_rounds_of_two_calls(rounds, timed, calls):
    """What is short is timed up to 101 times, never less often than asked; a smoke test calls once beforehand."""
    called = []
    timer = SimpleNamespace(pedantic=lambda call, setup, rounds: called.append(rounds))
    timer.stats = SimpleNamespace(stats=SimpleNamespace(median=1.0, rounds=0, data=[]))
    next(Timed("nothing", lambda: None, against=("other", lambda: called.append(None))).rows(timer, rounds))
    assert called == [None] * calls + [timed]


def test_an_error_of_a_suite_comes_out_and_stops_the_rest(monkeypatch):
    @dataclass(frozen=True)
    class Bad:
        def measure(self, profile):
            raise ZeroDivisionError("a bug")

    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    told = []
    with pytest.raises(ZeroDivisionError, match="a bug"):
        measure({"bad": Bad(), "sleeps": Sleeps()}, "smoke", lambda name, rows: told.append(name))
    assert told == []


def test_compilation_is_a_row():
    program, row = compiled("twice", lambda x: 2 * x, 3.0)
    assert program(3.0) == 6 and row.name == "twice, compilation" and row.unit == "s" and row.value > 0


def test_tables_leave_out_what_is_empty():
    header, cells = table([Row("a", 2.0, "s")])
    assert (header, cells) == (["", "value", "unit"], [["a", "2", "s"]])
    rows = [Row("a", 3.0, "s"), Row("b", 1 / 3, expected=0.25, tolerance=0.01, note="by hand")]
    header, cells = table(rows, {("a", "s"): 2.0})
    assert header == ["", "value", "unit", "expected", "off by", "allowed", "state", "ratio", "note"]
    assert cells[0] == ["a", "3", "s", "", "", "", "", "1.50", ""]
    assert cells[1] == ["b", "0.3333333", "", "0.25", "3.3e-01", "1e-02", "MISSED", "", "by hand"]


def test_records_are_kept_by_machine_and_suite(tmp_path, monkeypatch):
    rows = [Row("a", 2.0, "s"), Row("b", math.pi, expected=math.pi, tolerance=1e-9)]
    assert baseline(tmp_path) == {}
    page = record({"own.speed": [Row("a", math.nan, expected=np.float32(1))], "own.other": rows}, tmp_path)
    assert "| a | nan | 1 | nan | 0e+00 | MISSED |" in page.read_text()
    page = record({"own.speed": [replace(rows[0], value=4.0)]}, tmp_path)
    assert baseline(tmp_path) == {
        "own.speed": {("a", "s"): 4.0},
        "own.other": {("a", "s"): 2.0, ("b", ""): math.pi},
    }
    assert "## own.speed" in page.read_text() and "| a | 4 | s |" in page.read_text()
    content = json.loads(page.with_suffix(".json").read_text())
    assert content["suites"]["own.speed"]["versions"]["jax"] and content["suites"]["own.speed"]["date"]
    monkeypatch.setattr("genkit.bench.records.machine", lambda: "another one")
    assert baseline(tmp_path) == {}


@pytest.fixture
def cli(install, tmp_path, monkeypatch, capsys):
    install("own", SUITES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")

    def run(*words):
        capsys.readouterr()
        code = main(["bench", *words])
        return code, *capsys.readouterr()

    return run


def test_groups(cli):
    assert chosen("fidelity") == ["core.fidelity", "own.fidelity"]
    assert {"core.cli", "own.wrong"} <= set(chosen("speed")) and not set(chosen("speed")) & set(chosen("fidelity"))
    assert chosen("all") == [*chosen("all")] and set(chosen("all")) == set(chosen("speed")) | set(chosen("fidelity"))


def test_the_exit_code_tells_of_missed_figures(cli):
    code, out, err = cli("own.fidelity")
    assert (code, err) == (0, "") and "own.fidelity" in out and "pi" in out and "ok" in out and "MISSED" not in out
    code, out, err = cli("own.wrong", "--profile", "smoke")
    assert (code, err) == (1, "") and "MISSED" in out and "1 missed: own.wrong: [pi]" in out
    assert list(Path.cwd().iterdir()) == []


def test_recorded_figures_are_compared(cli):
    assert "ratio" not in cli("own.fidelity", "--record")[1]
    assert len(list(Path("benchmarks").glob("*.json"))) == len(list(Path("benchmarks").glob("*.md"))) == 1
    assert "1.00" in cli("own.fidelity")[1]
    assert "ratio" not in cli("own.fidelity", "--profile", "smoke")[1]


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["own.fidelty"], 2, "unknown benchmark 'own.fidelty'; did you mean 'own.fidelity'?"),
        (["own.fidelity", "--record", "--profile", "smoke"], 2, "--record needs --profile full"),
        (["own.failing"], 1, "no data; fetch them"),
    ],
)
def test_mistakes(cli, words, code, message):
    found, _, err = cli(*words)
    assert found == code and err.startswith(f"genkit: {message}") and err.count("\n") == 1


def test_without_pytest_benchmark(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest_benchmark", None)
    code, _, err = cli("own.fidelity")
    assert (code, err) == (
        1,
        "genkit: bench needs pytest-benchmark; python -m pip install pytest pytest-benchmark\n",
    )
