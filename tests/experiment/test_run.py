"""Runs: stages, resuming, what a folder holds, what is refused."""

import contextlib
import errno
import io
import itertools
import json
import os
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from rich.console import Console

import genkit
from genkit.errors import DataError, GenkitError, UsageError
from genkit.experiment import STAGES, Experiment, Run, Status, build_report, report


@pytest.fixture
def study(toy, tmp_path, monkeypatch):
    """study(number=2, out="a"): a run of the toy experiment."""
    monkeypatch.chdir(tmp_path)

    def run(out="a", seed=0, resume=False, **options):
        return genkit.run(genkit.config("toy.study", **options), seed=seed, out=out, resume=resume)

    return run


def test_a_run_and_its_folder(study):
    run = study(number=21, seed=3)
    assert run.results == {"double/x": 42.0, "seed": 3.0, "undefined": None, "infinite": None}
    assert {"config.yaml", "results.json", "status.json", "log.txt", "environment.json", "report.html"} <= {
        path.name for path in Path("a").iterdir()
    }
    status = json.loads(Path("a/status.json").read_text())
    assert status["state"] == "done" and status["done"] == list(STAGES) and set(status["seconds"]) == set(STAGES)
    (machine,) = json.loads(Path("a/environment.json").read_text())
    assert machine["versions"]["jax"] and machine["argv"] and machine["peak_memory_gb"] > 0
    page = Path("a/report.html").read_text()
    assert "toy.study" in page and "Double a number." in page and "<td>42</td>" in page.replace(" ", "")


def test_a_table_and_a_figure_of_one_name_are_both_in_the_report(study):
    run = study(number=1)
    report.clear(run.folder)
    run.table("double", ["x", "2 x"], [["a", 7.0]], "How it doubles")
    run.table("double", ["x", "2 x"], [["a", 8.0]], "How it doubles")
    run.figure("double", Figure(), "A line.")
    page = build_report(run.folder, "toy.study", "").read_text()
    assert "How it doubles" in page and ">8<" in page and ">7<" not in page and "A line." in page


@pytest.mark.parametrize("mode", ["good", "fail"])
def test_a_logger_hears_of_files_and_is_closed_however_the_run_ends(study, mode):
    heard = []
    logger = SimpleNamespace(artifact=lambda path: heard.append(path.name), close=lambda done: heard.append(done))

    def made(folder):
        assert (folder / "config.yaml").exists()
        return logger

    with contextlib.nullcontext() if mode == "good" else pytest.raises(DataError):
        genkit.run(genkit.config("toy.study", mode=mode), out="a", loggers=[made]).figure("one", Figure(), "A line.")
    assert heard == (["report.html", True, "one.png"] if mode == "good" else [False])


def test_no_terminal_cuts_a_number(study):
    """A table that is too wide for it is shown in parts, each with the first column."""
    run = study(number=1)
    run.console = Console(width=40, file=io.StringIO())
    header = ["model", *(f"score {i}" for i in range(9))]
    run.table("wide", header, [[name, *(0.0631 + i for i in range(9))] for name in ("plain", "target")], "Scores")
    shown = run.console.file.getvalue()
    assert all(shown.count(f"{0.0631 + i:.4g}") == 2 for i in range(9)) and "…" not in shown
    assert shown.count("plain") == 3 and max(map(len, shown.splitlines())) <= 40


def test_a_loaded_run_is_the_run(toy, study):
    study(number=4, sampler="corrected", seed=5)
    run = genkit.load("a")
    assert run.config == genkit.config("toy.study", number=4, sampler="corrected")
    assert (run.seed, run.name, run.results["double/x"], run.figures) == (5, "toy.study", 8.0, {})
    assert run.sample(None, 3).tolist() == [[4, 4]] * 3
    assert run.denoiser is run.denoiser


def test_without_a_folder_one_is_claimed(study):
    first, second = study(out=None), study(out=None)
    assert first.folder != second.folder
    assert first.folder.parent == second.folder.parent == Path("runs/toy.study")


def test_a_finished_run_is_left_alone(study):
    study()
    before = Path("a/status.json").stat().st_mtime_ns
    assert study(resume=True).results["double/x"] == 2.0
    assert Path("a/status.json").stat().st_mtime_ns == before


def test_items_show_how_many_are_left(study, monkeypatch, capsys):
    run = study()
    clock = SimpleNamespace(perf_counter=partial(next, itertools.count(0.0, 10.0)))
    monkeypatch.setattr("genkit.train.progress.time", clock)
    assert list(run.each("images", "abcd")) == list("abcd")
    assert capsys.readouterr().err == ""  # a run from Python is silent
    run.progress = True
    assert list(run.each("images", "abcd")) == list("abcd")
    assert "images: step 3/4" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_after_its_finished_stages(study):
    with pytest.raises(KeyboardInterrupt):
        study(mode="stop")
    status = Status(Path("a"))
    assert status.content["state"] == "interrupted" and status.done == ["prepare", "train"]
    assert study(mode="stop", resume=True).results["double/x"] == 2.0
    assert Path("a/calls.txt").read_text() == "train\n"


@pytest.mark.parametrize("watched", [True, False])
def test_a_run_from_python_speaks_where_a_person_looks(study, monkeypatch, capsys, watched):
    monkeypatch.setattr("genkit.terminal.Terminal.is_terminal", property(lambda self: watched))
    study()
    out = capsys.readouterr().out
    assert ("toy.study (seed 0) in a" in out and "double" in out and "report: a/report.html" in out) == watched
    assert watched or out == ""


@pytest.mark.parametrize("config, seed, message", [
    ({"number": 1}, 0, "run takes the name of an experiment or what genkit.config made, got {'number': 1}"),
    (None, 0, "what genkit.config made, got None"),
    (Experiment, 0, "what genkit.config made, got <class"),
    ("toy.study", "tiny", "seed='tiny' is no whole number; expected 0 to 2147483647"),
    ("toy.study", 1.5, "seed=1.5 is no whole number"),
    ("toy.study", True, "seed=True is no whole number"),
])  # fmt: skip
def test_what_is_no_configuration_or_seed(toy, tmp_path, config, seed, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        genkit.run(config, seed, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_failed_run_says_why_and_can_be_resumed(study):
    with pytest.raises(DataError):
        study(mode="fail")
    status = Status(Path("a")).content
    assert status["state"] == "failed" and status["message"] == "DataError: the data are bad; mend them"
    log = Path("a/log.txt").read_text()
    assert " failed: DataError: the data are bad; mend them\n" in log and "Traceback" not in log  # its line says all


def test_a_limit_of_memory_in_which_jax_dies_is_refused(study, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1_500_000_000, 1_500_000_000))
    with pytest.raises(GenkitError, match=r"may have 1.5 GB of addresses \(ulimit -v\).* at least 2 GB"):
        study()
    monkeypatch.setattr("resource.getrlimit", lambda kind: (-1, -1))  # without a limit
    study()


def test_resume_starts_a_new_run_too(study):
    assert study(resume=True).results["double/x"] == 2.0


@pytest.mark.parametrize(
    "second, message",
    [
        ({}, "a holds a run already; give --resume to continue it, or another --out"),
        ({"resume": True, "number": 2}, "a was started with another configuration .number: 1 -> 2."),
        ({"resume": True, "seed": 1}, "a was started with another configuration .seed: 0 -> 1."),
        ({"resume": True, "sampler": "corrected"}, "sampler: toy.slow -> toy.corrected"),
    ],
)
def test_another_run_in_the_folder(study, second, message):
    study()
    with pytest.raises(UsageError, match=message):
        study(**second)
    assert genkit.load("a").results["double/x"] == 2.0


def test_a_run_of_another_experiment(study, tmp_path):
    study()
    other = tmp_path / "other_study.py"
    other.write_text("from toy_plugin import Study\nclass Other(Study): ...\n")
    with pytest.raises(UsageError, match="a holds a run of Study, not of other_study:Other; choose another --out"):
        genkit.run(genkit.config("other_study:Other"), out="a", resume=True)


def test_folders_that_are_none(study, tmp_path):
    Path("file").touch()
    with pytest.raises(UsageError, match="--out file is a file; expected a folder"):
        study(out="file")
    Path("home").mkdir()
    Path("home/letters.txt").touch()
    with pytest.raises(UsageError, match="--out home is not empty and no run folder .letters.txt."):
        study(out="home", resume=True)
    with pytest.raises(UsageError, match="home is no run folder: it has no config.yaml"):
        genkit.load("home")


def test_a_full_disk(study, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GenkitError, match="cannot write .*No space left on device; make room or choose another"):
        study()


def test_a_disk_that_fills_up_during_the_run(study, monkeypatch):
    replace = os.replace

    def full(source, target):
        if Path(target).name == "results.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GenkitError, match="cannot write a/results.json: No space left"):
        study()
    assert Status(Path("a")).content["state"] == "failed"
    monkeypatch.setattr(os, "replace", replace)
    assert study(resume=True).results["double/x"] == 2.0
    assert Path("a/calls.txt").read_text() == "train\n"


def test_a_folder_that_cannot_be_made(study, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(GenkitError, match="cannot make the run folder a: Read-only file system; choose another"):
        study()


def test_the_base_class_says_what_is_missing(tmp_path):
    run = Run(Experiment(), tmp_path)
    for use, message in [
        (lambda: run.denoiser, "trains no denoiser"),
        (lambda: run.sample(None, 1), "draws no samples"),
        (lambda: Experiment.preset("paper"), "no preset 'paper'; known: default"),
    ]:
        with pytest.raises(GenkitError, match=message):
            use()


def test_the_keys_of_a_run_depend_on_seed_and_purpose(study):
    import jax

    def number(run, name):
        return int(jax.random.bits(run.key(name)))

    one, two = study(out="a", seed=1), study(out="b", seed=2)
    assert len({number(run, name) for run in (one, two) for name in ("x", "y")}) == 4
    assert number(one, "x") == number(genkit.load("a"), "x")
