"""An eye on many runs: `genkit runs`, and `genkit compare` over seeds, both from files alone."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest

from genkit.cli import main
from genkit.cli.compare import grouped
from genkit.cli.runs import ago
from genkit.experiment import Record
from genkit.experiment.folder import held
from genkit.files import check_plain, dump_yaml, write_arrays


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run_folder(folder, seed=0, state="done", age=0.0, results=None, items=None, **options):
    """A run of an experiment that no plugin here has."""
    folder.mkdir(parents=True)
    content = {"format": 2, "experiment": "gone.study", "preset": "tiny", "seed": seed, "options": options}
    (folder / "config.yaml").write_text(dump_yaml(content))
    at = datetime.now().astimezone() - timedelta(seconds=age)
    status = {"state": state, "done": [], "seconds": {}, "time": at.strftime("%Y-%m-%dT%H:%M:%S%z")}
    (folder / "status.json").write_text(json.dumps(status | {"host": os.uname().nodename, "pid": 2**22 + 5}))
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results))
    if items is not None:
        write_arrays(folder / "items.npz", items)


def rows(text):
    """Cells of a printed table, by the first one of each row."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
        found |= {cells[0]: cells[1:]} if cells else {}
    return found


def test_runs_shows_state_age_and_main_result(here, capsys):
    run_folder(here / "runs/gone.study/a", 1, "done", 7300, {"loss/x": 0.12345, "rmse/y": 2})
    run_folder(here / "runs/gone.study/b", 2, "running", 200)
    run_folder(here / "runs/s/[c]", 3, "failed", 610, {"rmse/y": None})
    run_folder(here / "runs/s/[c]/parts/inner", 4)  # belongs to the run
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert "3 runs in runs" in out
    assert rows(out) == {
        "folder": ["state", "age", "result", "seed", "experiment and preset"],
        "s/[c]": ["failed", "10 min", "rmse/y –", "3", "gone.study tiny"],
        "gone.study/b": ["killed", "3 min", "", "2", "gone.study tiny"],
        "gone.study/a": ["done", "2 h", "loss/x 0.1235", "1", "gone.study tiny"],
    }
    assert list(rows(out)) == ["folder", "gone.study/b", "s/[c]", "gone.study/a"]  # the newest first
    assert main(["runs", "runs/gone.study", "--only", "rmse/*"]) == 0
    assert rows(capsys.readouterr().out)["a"][2] == "rmse/y 2"
    (here / "runs/s/[c]/status.json").write_text("[]")
    assert main(["runs"]) == 1
    out, err = capsys.readouterr()
    assert "2 runs" in out and err.startswith("genkit: runs/s/[c]/status.json ") and err.count("\n") == 1
    assert main(["runs", "nowhere"]) == 2


def test_a_process_of_this_machine_is_known_to_run(here):
    run_folder(here / "a", state="running")
    status = json.loads((here / "a/status.json").read_text())
    (here / "a/status.json").write_text(json.dumps(status | {"pid": os.getpid()}))
    with held(here / "a"):
        assert Record.read(here / "a").state == "running"
    assert Record.read(here / "a").state == "killed"  # another process has its number now
    (here / "a/status.json").write_text(json.dumps(status | {"host": "elsewhere"}))
    assert Record.read(here / "a").state == "running"  # nobody here can tell


def test_a_run_in_training_is_listed(here, capsys, monkeypatch):
    """Its checkpoints come and go, and what is not read here is of no interest."""
    run_folder(here / "runs/a", state="running")
    run_folder(here / "runs/b")
    for name in ("a/checkpoints/step-1", "wandb/offline-run-1/files", "b/wandb/run-2/files"):
        (here / "runs" / name).mkdir(parents=True)
    for name in ("wandb/offline-run-1", "b/wandb/run-2"):
        (here / "runs" / name / "files/config.yaml").write_text("_wandb: {value: {}}\n")
    os.mkfifo(here / "runs/a/checkpoints/pipe")
    assert main(["runs"]) == 0
    assert set(rows(capsys.readouterr().out)) == {"folder", "a", "b"}
    look = os.scandir

    def late(path):
        if str(path).endswith("step-1"):
            (here / "runs/a/checkpoints/step-1").rmdir()
        return look(path)

    (here / "runs/a/checkpoints/pipe").unlink()
    monkeypatch.setattr(os, "scandir", late)
    check_plain(here / "runs/a")


def test_a_folder_that_cannot_be_read_is_one_line(here, capsys, monkeypatch):
    run_folder(here / "runs/a")
    run_folder(here / "runs/b")

    def refused(folder, names):
        if folder.name == "a":
            raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("genkit.experiment.record.check_plain", refused)
    assert main(["runs"]) == 1
    out, err = capsys.readouterr()
    assert set(rows(out)) == {"folder", "b"}
    assert err == "genkit: cannot read runs/a: Permission denied; check who may read it\n"


def test_ages():
    seconds = (None, 0, 59, 60, 3599, 7200, 86400 * 3)
    assert [ago(s) for s in seconds] == ["–", "0 s", "59 s", "1 min", "60 min", "2 h", "3 d"]


def test_compare_averages_over_seeds(here, capsys):
    x, y = [1.0, 2.0, 4.0], [3.0, 4.5, 6.0]
    for seed in range(3):
        run_folder(here / f"a{seed}", seed, results={"loss": x[seed], "only": 1.0}, width=8)
        run_folder(here / f"b{seed}", seed, results={"loss": y[seed], "only": None}, width=16)
    assert main(["compare", "a0", "b0", "a1", "b1", "a2", "b2", "--only", "loss"]) == 0
    out = capsys.readouterr().out
    assert rows(out)["width"] == ["8", "16"] and "seed" not in rows(out)
    results = out.partition("results (mean ± sd of the seeds)")[2]
    before, _, after = results.partition("differences from the first column")
    assert rows(before)["loss"] == ["2.3 ± 1.5", "4.5 ± 1.5"]
    # in pairs the differences are 2, 2.5, 2: mean 13/6, standard error 1/6, of which 4.302653 at 2 degrees of freedom
    first, second = rows(after)["loss"]
    mean, low, high = map(float, re.findall("[0-9.]+", second))
    assert first == "–" and mean == pytest.approx(13 / 6, abs=1e-3)
    assert (low, high) == pytest.approx((13 / 6 - 4.302653 / 6, 13 / 6 + 4.302653 / 6), abs=1e-3)
    assert main(["compare", "a0", "a1", "a2"]) == 0
    assert rows(capsys.readouterr().out) == {
        "": ["a0", "a1", "a2", "mean ± sd"],
        "seed": ["0", "1", "2", ""],
        "loss": ["1", "2", "4", "2.3 ± 1.5"],
        "only": ["1", "1", "1", "1"],
    }
    assert main(["compare", "a0", "a1", "b0"]) == 0  # two seeds are too few for an interval
    out = capsys.readouterr().out
    assert "interval" not in out and rows(out)["seed"] == ["0 1", "0"] and rows(out)["only"] == ["1", "–"]


def test_compare_takes_a_folder_of_runs_and_names_them_by_what_tells_them_apart(here, capsys, monkeypatch):
    for width in (8, 16):
        for seed in range(2):
            run_folder(here / f"deep/down/width={width},seed={seed}", seed, results={"loss": width + seed}, width=width)
    assert main(["compare", "deep"]) == 0
    out = capsys.readouterr().out
    assert rows(out)[""] == ["width=16 (2 seeds)", "width=8 (2 seeds)"]
    assert rows(out)["loss"] == ["16.50 ± 0.71", "8.50 ± 0.71"]
    run_folder(here / "other/a", results={"loss": 1.0})
    assert main(["compare", "other", "deep/down/width=8,seed=1"]) == 0
    assert rows(capsys.readouterr().out)[""] == ["other/a", "deep/down/width=8,seed=1"]
    assert main(["compare", "other"]) == 2 and "needs at least two run folders, got 1" in capsys.readouterr().err
    (here / "empty").mkdir()
    assert main(["compare", "other", "empty"]) == 2 and "empty is no run folder" in capsys.readouterr().err


def test_no_number_is_cut_off_on_a_narrow_screen(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("a" * 70, "b" * 70):
        run_folder(here / "runs" / name, results={"a_long_name/of_a/result": -0.00012341}, kind=name)
    assert main(["compare", "runs"]) == 0 and main(["runs"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 60 and "…" not in out and out.count("-0.0001234") == 4


def test_items_are_averaged_over_seeds_before_they_are_compared(here, capsys):
    for seed in range(2):
        for name, shift in (("a", 0.0), ("b", 0.25)):
            noise = (2 * seed - 1) * np.arange(20.0)  # cancels
            kept = {"items": np.arange(20), "loss": np.sqrt(np.arange(20.0)) + noise + shift}
            run_folder(here / f"{name}{seed}", seed, results={"loss": 1.0}, items=kept, kind=name)
    assert main(["compare", "a0", "a1", "b0", "b1"]) == 0
    assert rows(capsys.readouterr().out.partition("paired bootstrap")[2])["loss"] == ["–", "0.25 [0.25, 0.25]"]


@pytest.mark.parametrize("order", ["a0 a1 a2 b0 b1 b2", "a0 a1 b0 b1 b2", "a0 a1 a2 b0 b2 b1"])
def test_two_versions_of_the_code_are_two_groups(here, order):
    records = []
    for name in order.split():
        run_folder(here / name, int(name[1]), width=8)
        records.append(Record.read(here / name))
    groups = [[one.folder.name for one in group] for group in grouped(records)]
    assert groups == [[name for name in order.split() if name[0] == version] for version in "ab"]


def test_few_items_have_no_interval(here, capsys):
    for name in ("a", "b"):
        run_folder(here / name, results={"loss": 1.0}, items={"items": np.arange(3), "loss": np.ones(3)}, kind=name)
    assert main(["compare", "a", "b"]) == 0 and "bootstrap" not in capsys.readouterr().out


def test_compare_in_a_closed_pipe_ends_quietly(here):
    for name in ("a", "b"):
        run_folder(here / name, results={f"loss/{i}": float(i) for i in range(3000)}, kind=name)
    command = f"set -o pipefail; {sys.executable} -m _genkit_jax compare a b | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("options that")
