"""Models in studies: kept, restored, trained further, refused; and only `run` trains."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import genkit
from genkit.cli import main
from genkit.errors import GenkitError, UsageError
from genkit.experiment import config, flat, read_yaml, write_yaml
from genkit.experiment.slots import main_model, slots


@pytest.fixture
def fitted(toy, tmp_path, monkeypatch):
    """fitted(out, **options): a run of toy.fitted, without the picture of its losses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genkit.experiment.report.add_training", lambda folder: None)

    def run(out="a", resume=False, **options):
        return genkit.run(config("toy.fitted", options=options), out=out, resume=resume)

    return run


def error(words, capsys):
    """Exit code and message of a command."""
    capsys.readouterr()
    code = main(words)
    return code, capsys.readouterr().err


def test_a_trained_model_is_kept_and_used_without_its_run(fitted, capsys):
    run = fitted(steps=2)
    assert run.results == {"mean": 1.5}  # 2 (1 - 1/4)
    shutil.copytree("a/model", "elsewhere")
    shutil.rmtree("a")
    again = genkit.load_model("elsewhere")
    assert float(again.params["mean"]) == 1.5 and again.origin.name == "toy.mean"
    np.testing.assert_allclose(again.sample(jax.random.key(0), 3, shift=1.0), [2.5, 3.0, 3.5])
    assert main(["sample", "elsewhere", "--n", "3", "--chunk", "2", "--shift", "1", "--out", "s.npz"]) == 0
    with np.load("s.npz", allow_pickle=False) as found:
        np.testing.assert_allclose(found["samples"], [2.5, 3.0, 3.5])
    assert main(["export", "elsewhere", "--out", "p.npz"]) == 0
    with np.load("p.npz", allow_pickle=False) as found:
        assert set(found) == {"params.mean", "model.yaml"}
    code, message = error(["sample", "elsewhere", "--out", "s.smi"], capsys)
    assert code == 2 and message.startswith("genkit: --out s.smi: expected a file that ends in .npz")
    for words in (["--n", "0"], ["--n", "-3"], ["--chunk", "0"]):
        code, message = error(["sample", "elsewhere", *words], capsys)
        assert code == 2 and "is too few; expected at least 1" in message
    for seed in ("-1", "9" * 20):
        code, message = error(["sample", "elsewhere", "--seed", seed], capsys)
        assert code == 2 and "is out of range; expected 0 to 2147483647" in message


def test_options_of_the_main_model_have_no_prefix(fitted, tmp_path):
    made = config("toy.fitted", options={"steps": 5, "model.rate": 0.25, "noise.scale": 2.0, "other": "mean"})
    assert (made.model.steps, made.model.rate, made.model.noise.scale) == (5, 0.25, 2.0)
    assert flat(made) | {"steps": 5, "other.steps": 3, "model.finetune": 0, "other.finetune": 0} == flat(made)
    assert main_model(type(made)) == "model" and slots(type(made))["other"].optional
    (tmp_path / "config.yaml").write_text(write_yaml(made, "default", 1))
    assert read_yaml(tmp_path / "config.yaml") == (made, "default", 1)


def test_a_path_restores_and_finetune_goes_on(fitted):
    fitted(steps=2)
    restored = fitted("b", model="./a", **{"noise.scale": 3.0})
    assert restored.results == {"mean": 1.5} and not Path("b/checkpoints").exists()
    assert restored.model.noise.scale == 3.0 and genkit.load_model("b").noise.scale == 3.0
    further = fitted("c", model="./a", rate=1.0, **{"model.finetune": 1})
    assert further.results == {"mean": 2.0}
    other = fitted("d", steps=1, other="a/model")
    assert other.results == {"mean": 1.0} and float(genkit.load_model("d/models/other").params["mean"]) == 1.5
    shutil.rmtree("a")  # the source may go once it is taken
    assert genkit.load("b").model.sample(jax.random.key(0), 1).tolist() == [1.5]
    assert main(["evaluate", "b"]) == main(["report", "c"]) == 0
    with pytest.raises(UsageError, match="is no folder"):
        genkit.run(read_yaml(Path("b/config.yaml"))[0], out="e")
    assert not Path("e").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 7}, "--steps 7: the model .*/a/model was trained with 2, which stays$"),
        ({"width": 4, "model.finetune": 1}, "--width 4: the model .*/a/model was trained with 8, which stays$"),
        ({"rate": 0.1}, "--rate 0.1: .* trained with 0.5, which stays, unless --model.finetune STEPS goes on"),
    ],
)
def test_what_a_restored_model_cannot_take_is_refused_before_a_folder_is_made(fitted, options, message):
    fitted(steps=2)
    with pytest.raises(UsageError, match=message):
        fitted("b", model="./a", **options)
    assert not Path("b").exists()


def test_a_recipe_within_a_recipe(fitted, toy, capsys):
    """Its options have no prefix either; it is restored, checked and kept like that of a study."""
    assert fitted(model="doubled", steps=2).results == {"mean": 3.0}
    made = config("toy.fitted", options={"model": "doubled", "base": toy.Mean(steps=2), "noise": toy.Noise(3.0)})
    assert (made.model.base.steps, made.model.base.noise.scale) == (2, 3.0)
    fitted("b", steps=2)
    again = fitted("c", model="doubled", base="./b")
    assert again.results == {"mean": 3.0} and not Path("c/checkpoints").exists()
    assert str(Path("b").absolute()) not in Path("c/model/model.yaml").read_text()
    assert fitted("d", model="./c").results == {"mean": 3.0}
    assert fitted("e", model="doubled", base="./b", rate=1.0, **{"base.finetune": 1}).results == {"mean": 4.0}
    for words, message in (
        (["--model", "doubled", "--base", "./b", "--steps", "7"], "--steps 7: the model"),
        (["--model", "./c", "--steps", "7"], "--base.steps 7: the model"),
    ):
        code, found = error(["run", "toy.fitted", *words, "--out", "new"], capsys)
        assert code == 2 and found.startswith(f"genkit: {message}") and found.count("\n") == 1
    shutil.rmtree("b")
    fitted("b", steps=2, rate=0.25)
    with pytest.raises(UsageError, match="has changed: its fingerprint is"):
        genkit.run(read_yaml(Path("c/config.yaml"))[0], out="f")


def test_a_replay_refuses_a_model_that_has_changed(fitted):
    fitted(steps=2)
    fitted("b", model="./a")
    shutil.rmtree("a")
    fitted(steps=2, rate=0.25)
    with pytest.raises(UsageError, match="the model .*/a/model has changed: its fingerprint is"):
        genkit.run(read_yaml(Path("b/config.yaml"))[0], out="c")
    assert not Path("c").exists()


def test_a_source_that_changes_before_it_is_taken_is_refused(fitted, toy, monkeypatch):
    fitted(steps=2)
    options = {"model": "./a", "model.finetune": 2}
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(toy.Numbers, "load", lambda self: 1 / 0)  # stopped before anything was taken
        fitted("b", **options)
    shutil.rmtree("a")
    fitted(steps=2, rate=0.25)
    before = read_yaml(Path("b/config.yaml"))[0]
    with pytest.raises(UsageError, match="has changed: its fingerprint is"):
        genkit.run(before, out="b", resume=True)


def test_a_killed_fine_tuning_goes_on(fitted, toy):
    fitted(steps=2)
    options = {"model": "./a", "rate": 1.0, "model.finetune": 1, "stop": True}
    with pytest.raises(KeyboardInterrupt):
        fitted("b", **options)
    shutil.rmtree("b/model")  # as if it had been killed before it was kept
    assert fitted("b", resume=True, **options).results == {"mean": 2.0}
    about = genkit.load_model("b").origin.about
    assert about["start"] == genkit.load_model("a").origin.fingerprint and len(about["data"]) == 16
    assert about["data"] == genkit.load_model("a").origin.about["data"]


def test_own_code_in_a_source_needs_trust_and_that_of_ones_own_run_does_not(fitted, toy, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from toy_plugin import Noise\n\nclass Mine(Noise):\n    pass\n")
    with pytest.raises(KeyboardInterrupt):
        fitted(steps=2, noise="mine:Mine", stop=True)
    assert fitted(steps=2, noise="mine:Mine", stop=True, resume=True).results == {"mean": 1.5}
    with pytest.raises(UsageError, match="names own code .mine:Mine.; give --trust"):
        fitted("b", model="./a")
    text = Path("a/config.yaml").read_text().replace("noise: mine:Mine", "noise: toy.noise")
    Path("c.yaml").write_text(text.replace("model.restore: null", f"model.restore: {tmp_path / 'a' / 'model'}"))
    for trust, code in ((), 2), (("--trust",), 0):
        assert main(["run", "c.yaml", "--stop", "False", "--out", f"c{code}", *trust]) == code


def test_data_suggest_nothing_to_a_restored_model(fitted, toy, monkeypatch):
    fitted(steps=2)
    monkeypatch.setattr(toy.Numbers, "suggests", {"steps": 9, "stop": False}, raising=False)
    assert fitted("b", data="numbers").config.model.steps == 9
    assert fitted("c", data="numbers", model="./a").config.model.steps == 2


def test_two_models_of_one_recipe_are_two_draws(fitted, toy):
    run = fitted(other="mean")
    part = run.part("parts/other", salt="other: ")
    assert (jax.random.key_data(run.key("mean")) != jax.random.key_data(part.key("mean"))).any()


def test_what_is_no_model_is_refused(fitted, capsys):
    fitted(steps=2)
    for words, message in (
        (["--model", "a"], "--model a: to take the model of this folder, write ./a"),
        (["--model", "./b"], "b is no folder; expected that of a run or of a model"),
        (["--model.finetune", "3"], "finetune=3 needs a trained model to start from"),
        (["--data", "points"], "--data points does not fit: it exchanges numpy:ndarray, expected toy_plugin:Sample"),
        (["--model", "core.mixture"], "--model mixture does not fit"),
        (["--model", "./a", "--steps", "7", "--dry_run"], "--steps 7: the model"),
        (["--other", "./a", "--other.rate", "0.1"], "--other.rate 0.1: the model"),
    ):
        code, found = error(["run", "toy.fitted", *words, "--out", "new"], capsys)
        assert code == 2 and found.startswith(f"genkit: {message}") and found.count("\n") == 1
        assert not Path("new").exists()


def test_only_run_trains(fitted, capsys):
    with pytest.raises(KeyboardInterrupt):
        fitted(steps=2, stop=True)
    before = Path("a/status.json").read_text()
    assert json.loads(before)["state"] == "interrupted"
    shutil.rmtree("a/model")
    for command in ("sample", "evaluate", "report", "export"):
        code, message = error([command, "a"], capsys)
        assert code in (1, 2) and "`genkit run a/config.yaml --out a --resume` goes on" in message
        assert message.count("\n") == 1 and Path("a/status.json").read_text() == before
    assert fitted(steps=2, stop=True, resume=True).results == {"mean": 1.5}
    # a done run whose model and checkpoints are gone is not trained in silence
    shutil.rmtree("a/model")
    shutil.rmtree("a/checkpoints")
    before = json.loads(Path("a/status.json").read_text())["state"]
    for command in ("sample", "evaluate", "export"):
        code, message = error([command, "a"], capsys)
        assert code in (1, 2) and "`genkit run a/config.yaml --out NEW` trains it again" in message
        assert not Path("a/model").exists()
    assert json.loads(Path("a/status.json").read_text())["state"] == before == "done"
    with pytest.raises(GenkitError, match="has no trained model"):
        _ = genkit.load("a").model
    assert main(["run", "a/config.yaml", "--stop", "False", "--out", "again"]) == 0
    # a run of the earlier format
    old = Path("again/config.yaml").read_text().replace("format: 2\n", "")
    shutil.rmtree("again/model")
    Path("again/config.yaml").write_text(old)
    for command in ("sample", "evaluate", "export"):
        code, message = error([command, "again"], capsys)
        assert "made by genkit 0.1.0" in message and "--out NEW` trains it again" in message
    Path("again/config.yaml").write_text("format: 9\n" + old)
    code, message = error(["show", "again"], capsys)
    assert code == 2 and "has format 9, this genkit reads up to 2; update genkit" in message


def test_commands_that_write_hold_the_folder(fitted, capsys):
    from genkit.experiment import held

    fitted(steps=2)
    with held(Path("a")):
        for command in ("sample", "export", "evaluate"):
            code, message = error([command, "a"], capsys)
            assert code == 2 and "a is in use by process" in message
        assert main(["sample", "a", "--out", "s.npz"]) == 0
