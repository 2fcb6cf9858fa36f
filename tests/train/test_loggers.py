import json
import sys
from types import SimpleNamespace

import pytest

from genkit.cli import main
from genkit.errors import GenkitError
from genkit.train import JsonLines, Mlflow, Tensorboard, Wandb


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_resuming_cuts_a_torn_line_and_later_steps_of_the_phase(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for phase in ("a", "b"):
        log = JsonLines(path, phase)
        for step in (1, 2, 3):
            log.scalars(step, {"loss": step / 2})
        log.close()
    with path.open("a") as file:
        file.write('{"phase": "b", "step": 4, "lo')
    log = JsonLines(path, "b", after=2)
    log.scalars(3, {"loss": float("nan")})
    log.close()
    assert [(row["phase"], row["step"], row["loss"]) for row in rows(path)] == [
        ("a", 1, 0.5), ("a", 2, 1.0), ("a", 3, 1.5), ("b", 1, 0.5), ("b", 2, 1.0), ("b", 3, None),
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GenkitError, match="cannot write .*metrics.jsonl: .*; make room or choose another folder"):
        JsonLines(tmp_path / "file" / "metrics.jsonl", "a")


@pytest.mark.parametrize("logger, package", [(Tensorboard, "tensorboardX"), (Wandb, "wandb"), (Mlflow, "mlflow")])
def test_packages_are_optional(tmp_path, monkeypatch, logger, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(GenkitError, match=f"needs the package {package}; install it, or choose no logger"):
        logger(tmp_path)


def test_tensorboard_writes_events(tmp_path):
    pytest.importorskip("tensorboardX")
    log = Tensorboard(tmp_path)
    log.scalars(1, {"loss": 0.5})
    log.artifact(tmp_path)
    log.close(True)
    assert [f for f in (tmp_path / "tensorboard").iterdir() if "tfevents" in f.name]


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "it's [a] run"
    folder.mkdir()
    (folder / "config.yaml").write_text("experiment: toy.study\nseed: 3\noptions: {number: 2, sizes: [1, 2]}\n")
    (folder / "report.html").write_text("<p>")
    return folder


def write_twice(logger, folder):
    """What a run that is interrupted in its second phase does."""
    for points in ([("a/loss", 1, 0.5), ("a/loss", 2, 0.25)], [("b/loss", 1, 3.0)]):
        log = logger(folder)
        for name, step, value in points:
            log.scalars(step, {name: value})
        log.artifact(folder / "report.html")
        log.close(True)


def test_mlflow_keeps_one_run_in_the_folder(run_folder, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    write_twice(Mlflow, run_folder)
    client = mlflow.MlflowClient((run_folder / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("toy.study").experiment_id])
    assert run.info.run_name == run_folder.name and run.info.status == "FINISHED"
    assert run.data.params == {"experiment": "toy.study", "seed": "3", "number": "2", "sizes": "[1, 2]"}
    history = {name: client.get_metric_history(run.info.run_id, name) for name in ("a/loss", "b/loss")}
    points = {name: [(p.step, p.value) for p in found] for name, found in history.items()}
    assert points == {"a/loss": [(1, 0.5), (2, 0.25)], "b/loss": [(1, 3.0)]}
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == ["report.html"]


def test_wandb_writes_offline(run_folder, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    log = Wandb(run_folder)
    log.scalars(2, {"a/loss": 0.25})
    log.scalars(1, {"b/loss": 3.0})  # the next phase counts from the beginning
    log.artifact(run_folder / "report.html")
    log.close(True)
    wandb.teardown()  # its service has written
    (written,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    text = written.read_bytes()
    assert b"a/loss" in text and b"b/loss" in text
    assert (written.parent / "files" / "report.html").read_text() == "<p>"
    assert sorted(file.name for file in run_folder.iterdir()) == ["config.yaml", "logger_id.txt", "report.html"]


class FakeWandb(SimpleNamespace):
    """The part of the package that is used."""

    def init(self, **how):
        self.how = how
        return SimpleNamespace(
            define_metric=lambda name, step_metric: self.calls.append((name, step_metric)),
            log=self.calls.append,
            save=lambda path, **more: self.calls.append((path, more)),
            finish=lambda exit_code: self.calls.append(exit_code),
        )


def test_what_wandb_is_told(run_folder, monkeypatch):
    fake = FakeWandb(calls=[])
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    log = Wandb(run_folder)
    first = fake.how
    assert first == {
        "project": "mine", "name": run_folder.name, "id": first["id"], "resume": "allow",
        "config": {"experiment": "toy.study", "seed": 3, "number": 2, "sizes": [1, 2]},
    }  # fmt: skip
    log.scalars(7, {"a/loss": 0.5})
    log.artifact(run_folder / "report.html")
    log.close(False)
    kept = (str(run_folder / "report.html"), {"base_path": str(run_folder), "policy": "now", "glob": False})
    assert fake.calls == [("*", "step"), {"step": 7, "a/loss": 0.5}, kept, 1]
    Wandb(run_folder)
    assert fake.how["id"] == first["id"] != ""  # resumed
    (run_folder / "logger_id.txt").write_text("' OR 1")
    with pytest.raises(GenkitError, match="is not 16 hexadecimal digits.* delete it; loggers begin a new run"):
        Wandb(run_folder)
    (run_folder / "logger_id.txt").unlink()
    Wandb(run_folder)
    assert fake.how["id"] != first["id"]  # another run in the same place


def test_a_run_that_is_resumed_is_one_run_of_the_logger(toy, tmp_path, monkeypatch):
    fake, begun = FakeWandb(calls=[]), []
    monkeypatch.setitem(sys.modules, "wandb", fake)
    words = ["run", "toy.fitted", "--stop", "True", "--seed", "3", "--logger", "wandb", "--resume"]
    for place, code in (("a", 130), ("b", 0)):  # it is stopped, moved and resumed
        assert main([*words, "--out", str(tmp_path / place)]) == code
        begun.append((fake.how["id"], fake.how["config"]))
        assert fake.calls[-1] == int(code > 0)
        if code:
            (tmp_path / "a").rename(tmp_path / "b")
    assert begun[0] == begun[1]
    assert begun[0][1] | {"experiment": "toy.fitted", "seed": 3, "stop": True, "steps": 3} == begun[0][1]


class FakeMlflow(SimpleNamespace):
    """The part of the client that is used, with one place for runs."""

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id=name)

    def search_runs(self, groups, asked):
        return [run for run in self.runs if asked == f"tags.`genkit.folder` = '{run.tags['genkit.folder']}'"]

    def create_run(self, group, tags, run_name):
        self.runs.append(SimpleNamespace(tags=tags, params={}, info=SimpleNamespace(run_id=len(self.runs))))
        return self.runs[-1]

    def log_param(self, run, key, value):
        self.runs[run].params[key] = value

    def log_metric(self, *point): ...

    def log_artifact(self, run, path): ...

    def set_terminated(self, run, status):
        self.ends.append((run, status))


def test_a_run_that_failed_is_not_finished_in_mlflow(toy, tmp_path, monkeypatch):
    client = FakeMlflow(runs=[], ends=[])
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda uri: client))
    for code in (130, 0):
        words = ["run", "toy.study", "--mode", "stop", "--number", "7", "--logger", "mlflow", "--resume"]
        assert main([*words, "--out", str(tmp_path / "a")]) == code
    assert client.ends == [(0, "FAILED"), (0, "FINISHED")] and client.runs[0].params["number"] == "7"
