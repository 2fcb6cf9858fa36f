"""Exported models are read by others, imported ones by every command."""

from pathlib import Path

import numpy as np
import pytest

import genkit
from genkit.cli import main


def test_parameters_have_path_names(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "toy.study", "--flag", "True", "--out", "a"]) == 0
    assert main(["export", "a"]) == main(["export", "a", "--out", "deep/p.npz"]) == 0
    assert "a/parameters.npz: 2 arrays, 4 numbers" in capsys.readouterr().out
    for file in ("a/parameters.npz", "deep/p.npz"):
        with np.load(file, allow_pickle=False) as found:
            assert set(found) == {"params.w", "params.b.0", "config.yaml"}
            np.testing.assert_array_equal(found["params.w"], [0, 1, 2])
            assert str(found["config.yaml"]) == Path("a/config.yaml").read_text()


def test_bfloat16_becomes_float32(toy, tmp_path, monkeypatch):
    import jax.numpy as jnp

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toy.Study, "denoiser", lambda self, run: jnp.asarray([1.5], jnp.bfloat16))
    assert main(["run", "toy.study", "--out", "a"]) == main(["export", "a"]) == 0
    with np.load("a/parameters.npz", allow_pickle=False) as found:
        assert found["x"].dtype == np.float32 and found["x"][0] == 1.5


def test_a_closed_form_has_nothing_to_export(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["run", "toy.study", "--out", "a"])
    capsys.readouterr()
    assert main(["export", "a"]) == 1
    assert capsys.readouterr().err == "genkit: the denoiser of a is a closed form: it has no parameters to export\n"


def test_safetensors_hold_the_page(toy, tmp_path, monkeypatch, capsys):
    import safetensors

    monkeypatch.chdir(tmp_path)
    assert main(["run", "toy.fitted", "--out", "a"]) == main(["export", "a", "--to", "safetensors"]) == 0
    assert "a/parameters.safetensors: 1 arrays, 1 numbers" in capsys.readouterr().out
    with safetensors.safe_open("a/parameters.safetensors", "numpy") as found:
        assert found.get_tensor("params.mean") == genkit.load_model("a").params["mean"]
        assert found.metadata()["model.yaml"] == Path("a/model/model.yaml").read_text()


def test_an_imported_model_is_one_like_others(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mean.txt").write_text("1.5")
    assert main(["import", "toy-text", "mean.txt", "--out", "m", "--scale", "2"]) == 0
    assert "m: MeanModel(toy.mean" in capsys.readouterr().out
    model = genkit.load_model("m")
    assert model.params["mean"] == 3 and model.origin.about["imported"] == "toy-text"
    assert main(["run", "toy.fitted", "--model", "./m", "--out", "b"]) == 0  # used in a slot
    assert genkit.load("b").results["mean"] == 3
    assert main(["sample", "m", "--n", "2", "--out", "s.npz"]) == 0
    assert main(["export", "m", "--to", "toy-text", "--out", "back.txt"]) == 0
    assert Path("back.txt").read_text() == "3.0\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "toy-text", "nowhere", "--out", "m"], "there is no nowhere"),
        (["import", "toy-text", "bad.txt", "--out", "m"], "bad.txt holds no number"),
        (["import", "toy-text", "--out", "m"], "needs the path of what to read, before its options"),
        (["import", "toy-text", "bad.txt"], "needs --out MODEL"),
        (["import", "toy-tex", "bad.txt", "--out", "m"], "unknown format 'toy-tex'; did you mean"),
        (["import", "npz", "bad.txt", "--out", "m"], "Npz is only written"),
        (["export", "a", "--to", "toy-text"], "--to toy-text needs --out PATH"),
        (["export", "a", "--out", "w.safetensors"], "--to npz writes files that end in .npz"),
    ],
)
def test_what_cannot_be_read_leaves_no_folder(toy, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    Path("bad.txt").write_text("x")
    if words[0] == "export":
        main(["run", "toy.fitted", "--out", "a"])
    capsys.readouterr()
    assert main(words) in (1, 2)
    assert said in capsys.readouterr().err
    assert not Path("m").exists()


def test_a_model_is_not_replaced_by_an_import(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mean.txt").write_text("1.5")
    assert main(["import", "toy-text", "mean.txt", "--out", "m"]) == 0
    assert main(["import", "toy-text", "mean.txt", "--out", "m"]) == 2
    assert "m has a model already" in capsys.readouterr().err
