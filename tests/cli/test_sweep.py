"""Sweeps: which runs they make, what they skip, what they refuse."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from genkit.cli import main, sweep
from genkit.cli.sweep import Options, Point, Sweep, combinations
from genkit.errors import UsageError


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--a", "1"], [({}, ["--a", "1"])]),
        (["--a", "1,2"], [({"a": "1"}, ["--a", "1"]), ({"a": "2"}, ["--a", "2"])]),
        (["--a=1,2"], [({"a": "1"}, ["--a=1"]), ({"a": "2"}, ["--a=2"])]),
        (["--n.w", "1 2,3 4"], [({"n.w": "1 2"}, ["--n.w", "1", "2"]), ({"n.w": "3 4"}, ["--n.w", "3", "4"])]),
        (["--a", r"x\,y"], [({}, ["--a", "x,y"])]),
        (["--a", r"x\,y,z"], [({"a": "x,y"}, ["--a", "x,y"]), ({"a": "z"}, ["--a", "z"])]),
        (["--t", "5", "1,2"], [({"t": "1"}, ["--t", "5", "1"]), ({"t": "2"}, ["--t", "5", "2"])]),
        (["--flag", "--a", "1"], [({}, ["--flag", "--a", "1"])]),
        (["--label", ""], [({}, ["--label", ""])]),
    ],
)
def test_lists_of_values(words, expected):
    assert list(combinations(words)) == expected


def test_all_combinations():
    found = [options for options, _ in combinations(["--a", "1,2", "--s", "x", "--b.c", "u,v,w"])]
    assert len(found) == 6 and found[1] == {"a": "1", "b.c": "v"}


@pytest.mark.parametrize("words", [["--a", "1,,2"], ["--a", "1,"], ["--a", "'x,y"]])
def test_malformed_lists(words):
    with pytest.raises(UsageError):
        list(combinations(words))


@pytest.fixture
def cli(toy, tmp_path, monkeypatch, capsys):
    """The command line, whose runs happen in this process: what a child does is tested with `run`."""
    monkeypatch.chdir(tmp_path)
    started = []

    class Child:
        def __init__(self, command, stdout, stderr, process_group):
            assert command[:4] == [sys.executable, "-P", "-m", "_genkit_jax"]
            started.append(command[4:])
            self.pid, self.returncode = len(started), main(command[4:])
            stdout.write("a last line\n")

        def poll(self):
            return self.returncode

    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(Popen=Child, STDOUT=None))

    def run(*words):
        capsys.readouterr()
        code = main(["sweep", *words])
        return code, *capsys.readouterr()

    run.started = started
    return run


def rows():
    with Path("s/sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_sweep_and_its_table(cli):
    code, out, err = cli("toy.study", "--out", "s", "--number", "1,2", "--seed", "0,1", "--label", "x")
    assert code == 0 and "4 runs in s, 0 of them finished" in out and "double/x" in out
    assert [(r["number"], r["seed"], r["double/x"], r["state"]) for r in rows()] == [
        ("1", "0.0", "2.0", "done"),
        ("1", "1.0", "2.0", "done"),
        ("2", "0.0", "4.0", "done"),
        ("2", "1.0", "4.0", "done"),
    ]
    assert rows()[3]["undefined"] == "" and Path("s", rows()[3]["folder"], "results.json").exists()


def test_a_child_does_not_take_a_clone_beside_it_for_the_package(tmp_path):
    (tmp_path / "genkit").mkdir()
    command = Sweep("toy.study", Options(tmp_path), []).command(Point({}, [], tmp_path))
    done = subprocess.run([*command[: command.index("run")], "list", "samplers"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_sweep_of_components(cli):
    assert cli("toy.study", "--out", "s", "--sampler", "slow,toy_plugin:Slow")[0] == 0
    assert len({r["folder"] for r in rows()}) == 2 and all("/" not in r["folder"] for r in rows())


def test_a_failure_stops_no_other_run_and_resume_repeats_it(cli):
    code, out, _ = cli("toy.study", "--out", "s", "--mode", "fail,good", "--jobs", "2")
    assert code == 1 and "mode=fail: failed with 1: a last line (s/mode=fail.log)" in out
    assert [r["state"] for r in rows()] == ["failed", "done"]
    del cli.started[:]
    code, out, _ = cli("toy.study", "--out", "s", "--mode", "fail,good", "--resume")
    assert code == 1 and "2 runs in s, 1 of them finished" in out
    assert len(cli.started) == 1 and "fail" in cli.started[0] and "--resume" in cli.started[0]
    del cli.started[:]
    assert cli("toy.study", "--out", "s", "--mode", "good", "--number", "1,5", "--resume")[0] == 0
    assert len(cli.started) == 2


@pytest.mark.parametrize(
    "words, message",
    [
        (["toy.study", "--out", "s", "--number", "1,-1"], "number=-1 must not be negative"),
        (["toy.study", "--out", "s", "--sampler", "slow,slw"], "did you mean 'slow'"),
        (["toy.studi", "--out", "s"], "unknown experiment 'toy.studi'"),
        (["toy.study", "--out", "s", "--number", "1,1"], "the same combination of values twice"),
        (["toy.study", "--out", "s", "--jobs", "0"], "--jobs 0: expected at least 1"),
        (["--out", "s"], "sweep needs the name of an experiment first"),
        (["toy.study"], "--out"),
        (["toy.study", "--out", "s", "--nmber", "1,2"], "--nmber"),
        (["toy.study", "--out", "."], ". is there and not empty; give --resume"),
    ],
)
def test_mistakes_are_found_before_the_first_run(cli, words, message):
    Path("here").touch()
    code, _, err = cli(*words)
    assert code == 2 and message in " ".join(err.replace("│", " ").split())
    assert not cli.started and not Path("s").exists()


def test_a_sweep_of_another_configuration_is_not_continued(cli):
    cli("toy.study", "--out", "s", "--seed", "0,1")
    code, _, err = cli("toy.study", "--out", "s", "--seed", "0,1", "--number", "7", "--resume")
    assert code == 2 and "was run with another configuration (number: 1 -> 7)" in err


def test_an_interrupt_stops_the_children(cli, monkeypatch):
    told = []

    class Child:
        pid, returncode = 1, None

        def __init__(self, *args, **options): ...

        def poll(self):
            raise KeyboardInterrupt

        def terminate(self):
            told.append("terminate")

        def wait(self):
            told.append("wait")

    monkeypatch.setattr(sweep, "subprocess", SimpleNamespace(Popen=Child, STDOUT=None))
    assert cli("toy.study", "--out", "s", "--seed", "0,1")[0] == 130
    assert told == ["terminate", "wait"]


def test_slurm_without_submitit(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = cli("toy.study", "--out", "s", "--launcher", "slurm")
    assert code == 1 and err == "genkit: --launcher slurm needs submitit; python -m pip install submitit\n"


@pytest.fixture
def submitit(monkeypatch):
    """Imported without its set-up of logging, which closes every handler: absl's would close the streams of pytest."""
    monkeypatch.setenv("SUBMITIT_LOG_LEVEL", "NOCONFIG")
    return pytest.importorskip("submitit")


def test_on_slurm_jobs_run(cli, submitit, monkeypatch):
    parameters = {}

    class Job:
        job_id = "77"

        def __init__(self, run):
            words = run.command[4:]
            folder = Path(words[words.index("--out") + 1])
            folder.mkdir(parents=True)
            (folder / "status.json").write_text(json.dumps({"state": "done", "done": [], "seconds": {}}))
            self.failed, self.paths = 0, self

        stderr = Path("job.err")

        def exception(self):
            return RuntimeError() if self.failed else None

    class Executor:
        def __init__(self, folder, cluster):
            assert cluster == "slurm"

        def update_parameters(self, **given):
            parameters.update(given)

        def submit(self, run):
            return Job(run)

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    words = ["--launcher", "slurm", "--slurm", "timeout_min", "5", "slurm_partition", "gpu"]
    code, out, _ = cli("toy.study", "--out", "s", "--number", "1,2", *words)
    assert code == 0 and "jobs 77 77" in out and [r["state"] for r in rows()] == ["done", "done"]
    assert parameters == {"name": "genkit-sweep", "timeout_min": 5, "slurm_partition": "gpu"}


def test_on_slurm_that_is_not_there(cli, submitit):
    code, _, err = cli("toy.study", "--out", "s", "--launcher", "slurm")
    assert code == 1 and err.startswith("genkit: SLURM took no jobs: ") and err.count("\n") == 1
