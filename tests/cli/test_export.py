"""Exported parameters are readable by numpy alone."""

from pathlib import Path

import numpy as np

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
