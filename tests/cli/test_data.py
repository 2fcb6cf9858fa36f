"""Data sets on the command line."""

from pathlib import Path

import numpy as np
import pytest

import genkit
from genkit.cli import main
from genkit.data import cached, fetch
from genkit.errors import GenkitError, UsageError


@pytest.fixture
def cli(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENKIT_DATA", raising=False)

    def run(*words):
        code = main(["data", *words])
        return code, *capsys.readouterr()

    return run


def line(text, name):
    return next(one for one in text.splitlines() if name in one)


def test_list_says_where_data_are(cli, tmp_path, monkeypatch, toy):
    code, out, err = cli("list")
    assert (code, err) == (0, "")
    assert "GENKIT_DATA: not set" in out and f"cache: {tmp_path / 'cache'}" in out
    assert "own files" in line(out, "toy.points")
    assert "cannot be loaded" in line(out, "toy.gone")
    for folder, words in (("cache", "in the cache"), ("data", "in GENKIT_DATA"), ("other", str(tmp_path / "other"))):
        monkeypatch.setenv("GENKIT_DATA", str(tmp_path / "data"))
        file = tmp_path / folder / "p.npy"
        file.parent.mkdir()
        np.save(file, np.zeros((1, 2)))
        monkeypatch.setattr(toy.Points, "path", lambda self, file=file: file)
        assert words in line(cli("list")[1], "toy.points")


def test_list_fetches_and_makes_nothing(cli, toy, monkeypatch):
    def fetched(self):
        return fetch("toy/x.npy", "0" * 64, "https://nowhere.invalid/x.npy")

    def made(self):
        return cached("x.npy", {}, lambda path: pytest.fail("made"))

    def unnamed(self):
        raise UsageError("no file is named")

    for path, words in ((fetched, "not yet"), (made, "not yet"), (unnamed, "own files")):
        monkeypatch.setattr(toy.Points, "path", path)
        assert words in line(cli("list")[1], "toy.points")
    monkeypatch.delattr(toy.Points, "path")
    assert "own files" in line(cli("list")[1], "toy.points")  # its field says so
    assert "needs no file" in line(cli("list")[1], "toy.numbers")


def test_fetch_and_path(cli):
    code, _, err = cli("path", "toy.points")
    assert code == 1 and err == (
        "genkit: toy.points has no files yet; `genkit data fetch toy.points` finds or makes them\n"
    )
    np.save("mine.npy", np.zeros((1, 2)))
    assert cli("path", "toy.points", "--file", "mine.npy") == (0, "mine.npy\n", "")
    assert cli("fetch", "toy.points", "--file=mine.npy") == (0, "toy.points is there and loads: mine.npy\n", "")
    code, _, err = cli("fetch", "toy.points", "--file", "other.npy")
    assert (code, err) == (1, "genkit: other.npy does not exist; expected an array (n, 2)\n")


@pytest.mark.parametrize(
    "experiment, data",
    [("weather.graph_lam", name) for name in ("own", "mdp_zarr", "meps_npy", "weatherbench1", "weatherbench2")]
    + [("crystals.wyckoffdiff", "labels_csv"), ("crystals.wyckoffdiff", "structures_dir"), ("molecules.ardm", "smiles")]
    + [("molecules.protein_ardm", "fasta"), ("inverse.digits_prior", "images"), ("latents.land", "latents.rows")]
    + [("latents.poincare_tree", "latents.images"), ("representations.images", "representations.images")]
    + [("representations.likelihood_ood", "features")],
)
def test_a_run_that_lacks_its_own_files_gets_no_folder(experiment, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenkitError, match="no such|not exist|no file|no NetCDF|needs its|set root"):
        genkit.run(genkit.config(experiment, "tiny", {"data": data}))
    assert not list(tmp_path.iterdir())


def test_own_data(cli):
    np.save("points.npy", np.zeros((1, 2)))
    assert cli("path", "toy_plugin:Points")[:2] == (0, "points.npy\n")


@pytest.mark.parametrize(
    "words, message",
    [
        (["lst"], "unknown action 'lst'; expected one of list, fetch, path"),
        (["list", "x"], "data list takes nothing more, got x"),
        (["fetch"], "data fetch needs the name of a data set; `genkit data list` shows them"),
        (["path", "toy.pints"], "unknown dataset 'toy.pints'; did you mean 'toy.points'?"),
        (["path", "toy.points", "--fil", "x"], "--file"),
    ],
)
def test_mistakes(cli, words, message):
    code, _, err = cli(*words)
    assert code == 2 and message in err


def test_a_field_may_say_where_the_data_are(tmp_path):
    from genkit.cli.data import located

    class Own:
        path = tmp_path

    assert located(Own()) == tmp_path
    Own.path = Path("gone")
    assert located(Own()) is None and located(object()) is None
