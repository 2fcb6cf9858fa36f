"""The written plugin is installed, as pip would do it, and tested by its own test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genkit.cli import main
from genkit.plugin import registry


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The folder of a plugin `acme`, with what an editable install leaves beside it."""
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "acme"]) == 0
    folder = tmp_path / "genkit-acme"
    info = tmp_path / "site" / "genkit_acme-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: genkit-acme\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[genkit.plugins]\nacme = genkit_acme:plugin\n")
    return folder


@pytest.fixture
def installed(written, monkeypatch):
    monkeypatch.syspath_prepend(written)
    monkeypatch.syspath_prepend(written.parent / "site")
    monkeypatch.setenv("GENKIT_PLUGINS", "acme")
    registry.cache_clear()
    yield written
    registry.cache_clear()
    for name in [m for m in sys.modules if m.partition(".")[0] == "genkit_acme"]:
        del sys.modules[name]


def test_it_is_small_and_says_what_comes_next(written, capsys):
    files = [p for p in written.rglob("*") if p.is_file()]
    code = [p.read_text() for p in files if p.suffix == ".py"]
    assert len(files) <= 6 and sum(bool(line.strip()) for text in code for line in text.split("\n")) <= 100
    assert not any("%name%" in text or "%dist%" in text for text in code)
    import tomllib

    project = tomllib.loads((written / "pyproject.toml").read_text())["project"]
    assert project["name"] == "genkit-acme"
    assert project["dependencies"] == []  # an index could only give a stranger's genkit-jax
    assert "install it from its checkout first" in (written / "README.md").read_text()
    assert project["entry-points"]["genkit.plugins"] == {"acme": "genkit_acme:plugin"}


def test_the_next_steps(tmp_path, capsys):
    assert main(["new-plugin", "my_own", "--out", str(tmp_path / "p")]) == 0
    out = capsys.readouterr().out
    steps = (f"cd {tmp_path / 'p'}", "python -m pip install -e .", "genkit run my_own.toy")
    assert all(step in out for step in steps)
    assert out.endswith("python -m pip install pytest\n  python -m pytest\n")
    assert 'name = "genkit-my-own"' in (tmp_path / "p/pyproject.toml").read_text()
    assert (tmp_path / "p/genkit_my_own/toy.py").exists()


def test_it_installs_lists_and_runs(installed, capsys):
    assert main(["plugins"]) == 0 and "a plugin to start from" in capsys.readouterr().out
    assert main(["list"]) == 0 and "acme.toy" in capsys.readouterr().out
    assert main(["run", "acme.toy", "--sampler", "heun", "--data.points", "50", "--steps", "5", "--out", "a"]) == 0
    assert Path("a/results.json").exists()
    assert capsys.readouterr().out.count("│ std_ratio/") == 2  # in a table, as the experiment makes none
    assert main(["sample", "a", "--n", "3", "--out", "points.npz"]) == 0 and Path("points.npz").exists()
    assert main(["new-plugin", "acme", "--out", "again"]) == 2
    assert "a plugin 'acme' is installed already (genkit-acme 0.1.0)" in capsys.readouterr().err


def test_it_passes_its_own_test(written):
    path = os.pathsep.join([str(written), str(written.parent / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "GENKIT_PLUGINS": "acme"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=written, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    "name, message",
    [
        ("Acme", "'Acme' cannot name a plugin; expected a small letter"),
        ("a-b", "'a-b' cannot name a plugin"),
        ("1a", "'1a' cannot name a plugin"),
        ("class", "'class' cannot name a plugin"),
        ("../x", "'../x' cannot name a plugin"),
        ("", "'' cannot name a plugin"),
        ("core", "a plugin 'core' is installed already (genkit-jax"),
        ("taken", "a package genkit_taken is installed already; choose another name"),
    ],
)
def test_names_that_cannot_be(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genkit_taken.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["new-plugin", name]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert os.listdir() == ["genkit_taken.py"]


def test_a_folder_that_exists(tmp_path, capsys):
    assert main(["new-plugin", "acme", "--out", str(tmp_path)]) == 2
    assert f"{tmp_path} exists already; choose another --out" in capsys.readouterr().err


def test_a_disk_that_refuses(tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert main(["new-plugin", "acme", "--out", str(tmp_path / "p")]) == 1
    err = capsys.readouterr().err
    assert "No space left on device; choose another --out" in err and err.count("\n") == 1
